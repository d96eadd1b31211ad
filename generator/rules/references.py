"""Turns a sentence with a pronoun for its subject into one that names what it is about.

"It was lit in 1871" becomes "The lighthouse was lit in 1871" where the sentence before has that subject. An opening
he, she, it, they, his, her, its or their is replaced, and the first he or she that follows no name; without a
candidate it stays.
"She sold it" says what, where the sentence before is about a person who did something to it, and "Rinse it" as well.
"""

import re
from collections.abc import Sequence

from generator.english import words
from generator.english.tagger import Tag, first_verb, tagged_words
from generator.english.words import is_plural
from generator.rules.clauses import Predication, predication
from generator.rules.people import FEMALE, MALE, names_of, people_of
from generator.rules.spans import SpanKind, answer_spans

_OF_NOTHING = (  # "It takes an hour to", "It was agreed that", "It was the cook, Ada Holm, who", "It was in May that"
    r"(?! (?:takes|took|is (?:said|known|thought)) )(?! costs? [^.]* to )"
    r"(?! (?:is|was) (?:\w+ (?:that|whether)|(?:the|an?|[A-Z]\w+)\b[^.,]*(?:,[^.,]*,)? who)\b)"
    r"(?! (?:is|was) (?:not |only )?(?:in|on|at|by|from|with|until|after|before|because) (?!an? )[^.,]* that\b)"
)
_OPENING = re.compile(rf"(?:(?:But|And|Then|Today|So),? )?(He|She|They|His|Her|Its|Their|It(?=\b){_OF_NOTHING})\b")
_SUBJECT = re.compile(r"\b(he|she)\b")
_DEFINITE = {"The": "the", "A": "a", "An": "an", "Each": "each", "Every": "every", "a": "the", "an": "the"}
_OBJECT = re.compile(r"^((?: [\w-]+){1,2}) it\b(?! (?:is|was|has|had|would|will|could|can|might|may|should|must)\b)")
_OBJECT_TOLD = re.compile(r"^(\w+) it\b")
_SEVERAL = frozenset({"They", "Their"})
_PERSONAL = frozenset({"He", "She", "His", "Her", "he", "she"})


def resolved(sentence: str, preceding: Sequence[str], title: str = "", person: str = "") -> str:
    """The sentence with the pronoun of its subject replaced.

    `preceding`: the sentences before it, the nearest last. `person`: whom it means by he or she (`people`).
    """
    found = _OPENING.match(sentence) or _unnamed_subject(sentence)
    if found is None:
        thing = _thing(preceding, title) if _is_told(sentence) else ""
        return _OBJECT_TOLD.sub(f"\\g<1> {thing}", sentence) if thing else sentence
    pronoun = found.group(1)
    named = person if pronoun in _PERSONAL else _several(preceding) if pronoun in _SEVERAL else _thing(preceding, title)
    if not named:
        return sentence
    name = words.possessive(named) if pronoun.lower() in words.OWNERS else named
    before, behind = sentence[: found.start(1)], sentence[found.end(1) :]
    if pronoun.lower() in {"he", "she"} and preceding and (thing := _done_to(preceding[-1])):
        behind = _OBJECT.sub(lambda verb: f"{verb.group(1)} {thing}", behind)
    if not before:
        return name[0].upper() + name[1:] + behind
    said = tagged_words(before)[-1]
    apart = said.tag is not Tag.FUNCTION and said.text != ","  # "In 1869 she" has no name beside the year
    return f"{before.rstrip()}{',' if apart else ''} {name}{behind}"


def _is_told(sentence: str) -> bool:
    """Whether it is an imperative about an "it": "Rinse it with vinegar"."""
    found = tagged_words(sentence)
    return len(found) > 1 and found[0].tag is Tag.VERB and found[1].lower == "it"


def _unnamed_subject(sentence: str) -> re.Match[str] | None:
    """The first "he" or "she" inside, where no name and no other pronoun before it could be meant."""
    found = _SUBJECT.search(sentence)
    if found is None:
        return None
    before = sentence[: found.start()]
    others = MALE | FEMALE | {"who", "whom", "whose"}
    named = any(span.end <= found.start() for span in names_of(sentence))
    return None if named or others & {word.lower for word in tagged_words(before)} else found


def _thing(preceding: Sequence[str], title: str) -> str:
    """What the nearest sentence before is about, or what the person it is about does something to; else the title."""
    for sentence in reversed(preceding):
        about, of_person = _about(sentence)
        if about is None:
            continue
        if of_person:
            named = _object(sentence, about.verb_end)
        else:
            is_pronoun = about.subject.split()[0].lower() in words.PRONOUNS
            named = "" if is_pronoun else words.unowned(about.subject)
        if named and not is_plural(words.head_noun(named)):
            return _definite(named)
    return title


def _several(preceding: Sequence[str]) -> str:
    """What several things or people the nearest sentence before, that speaks of such, is about."""
    for sentence in reversed(preceding):
        about, _ = _about(sentence)
        if about is None or about.subject.lower().split()[0] in words.PRONOUNS | {"their"}:
            continue
        return _definite(about.subject) if is_plural(words.head_noun(about.subject)) else ""
    return ""


def _done_to(sentence: str) -> str:
    """What a person does something to, where the sentence is about a person; else empty."""
    about, of_person = _about(sentence)
    return _definite(_object(sentence, about.verb_end)) if about and of_person else ""


def _about(sentence: str) -> tuple[Predication | None, bool]:
    """What the sentence's first verb says, and whether of a person."""
    found = tagged_words(sentence)
    at = first_verb(found) or 0
    verbs = (word.end for word in found[at:] if at and word.is_verbal)
    said = [said for said in (predication(found, end) for end in verbs) if said is not None]
    about = min(said, key=lambda each: each.subject_start, default=None)
    if about is None:
        return None, False
    return about, found[at - 1].lower in {"he", "she"} or any(name in about.subject for name in people_of(sentence))


def _definite(phrase: str) -> str:
    first, _, rest = phrase.partition(" ")
    return f"{_DEFINITE.get(first, first)} {rest}".strip()


def _object(sentence: str, verb_end: int) -> str:
    """The first noun phrase behind the verb, where nothing stands between them."""
    behind = (span for span in answer_spans(sentence) if span.kind is SpanKind.THING and span.start >= verb_end)
    return next((span.text for span in behind if not sentence[verb_end : span.start].strip()), "")
