"""Turns one sentence into tagged words, and a place in it into the subject and helping verb of a question about it.

"The lamp was built in Oss" asks about "Oss" with the subject "the lamp" and the helper "was". A tagger says which words
are verbs; English function words and the order of words say the rest. Where they are wrong a question is worse, and the
round trip of the grounded strategy drops it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache

from generator import words
from generator.tagger import parts_of_speech
from generator.verbs import IRREGULAR_FORMS, base_form
from generator.words import word_set


class Tag(Enum):
    """What a word does in its sentence, as far as the rules can tell."""

    CONTENT = auto()
    NUMBER = auto()
    HELPER = auto()
    VERB = auto()
    NONFINITE = auto()
    FUNCTION = auto()
    MARK = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Characters start..end of the sentence; `part` is the part of speech that the tagger says (`tagger`)."""

    start: int
    end: int
    text: str
    tag: Tag
    part: str

    @property
    def lower(self) -> str:
        """The word in lower case, with the plain apostrophe."""
        return self.text.lower().replace("\u2019", "'")

    @property
    def is_capital(self) -> bool:
        """Whether it could be a part of a name."""
        return self.text[0].isupper()

    @property
    def is_nominal(self) -> bool:
        """Whether it can stand inside a noun phrase."""
        return self.tag in {Tag.CONTENT, Tag.NUMBER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Predication:
    """Whom a verb is about, and the word that is put before that subject in a question: was, does, did, must.

    `verb` is the full verb as it stands behind that subject ("built", "keep"), empty where there is none. `verb_end` is
    where the verb of the sentence ends.
    """

    subject: str
    helper: str
    verb: str
    subject_start: int
    verb_start: int
    verb_end: int


_WORD = re.compile(r"[£$€]?\d(?:[\d.,:/]*\d)?(?:st|nd|rd|th|%)?|[^\W\d_](?:[\w'\u2019-]*\w)?|[^\w\s]")
_CLAUSE_STARTS = word_set(", ; : ( ) and but or who which that because when if since after before where while")
_ENDS_CLAUSE = frozenset({",", ";", ":", ".", "(", "who", "which", "that", "because", "when", "since", "if", "while"})
SHOULD = "should"
_OWNING = {"has": "does", "have": "do", "had": "did"}
_PAST = word_set("was were had did")
_PARTICIPLES = word_set("VVN VVG")
_FINITE = word_set("VVB VVD VVZ")


@lru_cache(maxsize=1024)
def tagged_words(sentence: str) -> tuple[Word, ...]:
    """The words and marks of a sentence in order."""
    matches = list(_WORD.finditer(sentence))
    parts = parts_of_speech([match.group() for match in matches])
    found = [
        Word(start=match.start(), end=match.end(), text=match.group(), tag=_tag(match.group()), part=part)
        for match, part in zip(matches, parts, strict=True)
    ]
    for at in range(1, len(found)):
        counts_a_noun = found[at - 1].part == "ORD" and found[at].part[:2] in {"NN", "AJ"}
        if counts_a_noun and found[at - 1].tag is Tag.FUNCTION:
            found[at - 1] = replace(found[at - 1], tag=Tag.CONTENT)  # "the first book"
        if numbers_a_name(found[at - 1], found[at]) or _is_the_first(found[at - 1], found[at]):
            found[at] = replace(found[at], tag=Tag.CONTENT)
    for at, tag in _verbs(found).items():
        found[at] = replace(found[at], tag=tag)
    return tuple(found)


def numbers_a_name(before: Word, word: Word) -> bool:
    """Whether digits belong to the name before them: "the Corvane 40", and not "in March 40 people"."""
    is_name = before.tag is Tag.CONTENT and before.is_capital and before.text not in words.MONTHS | words.WEEKDAYS
    return is_name and word.text.isdigit()


def _is_the_first(before: Word, word: Word) -> bool:
    """Whether this is no pronoun but a number: "Richard I"."""
    return word.text == "I" and before.tag is Tag.CONTENT and before.is_capital and before.part == "NP0"


def begins_anew(found: Sequence[Word], at: int) -> bool:
    """Whether a noun begins a phrase of its own behind another: "For weeks boys fished", "In 1802 Ada Holm built"."""
    if at == 0 or found[at - 1].lower.endswith(("'s", "s'")):
        return False
    if found[at].is_capital:
        return found[at - 1].text.isdigit()
    return found[at].part == found[at - 1].part == "NN2"


def verb_start(sentence: str) -> int:
    """Where the first verb begins; 0 where there is none."""
    verbal = {Tag.VERB, Tag.HELPER}
    return next((word.start for word in tagged_words(sentence) if word.tag in verbal), 0)


def _tag(text: str) -> Tag:
    lower = text.lower().replace("\u2019", "'")
    if text[-1].isdigit() or text[0].isdigit() or lower.split("-")[0] in words.NUMBER_WORDS:
        return Tag.NUMBER
    if not text[0].isalpha():
        return Tag.MARK
    if lower in words.AUXILIARIES:
        return Tag.HELPER
    return Tag.FUNCTION if lower in words.FUNCTION_WORDS or words.is_adverb(text) else Tag.CONTENT


def _verbs(found: Sequence[Word]) -> dict[int, Tag]:
    """Positions of full verbs: finite ones and those of a helper (VERB), and those without a subject (NONFINITE)."""
    verbs: dict[int, Tag] = {}
    in_clause = in_sentence = False  # whether there was a verb or a helper so far
    for at, word in enumerate(found):
        in_clause = (in_clause and word.lower not in _CLAUSE_STARTS) or word.tag is Tag.HELPER
        if word.tag is Tag.CONTENT and word.part.startswith("VV") and (at == 0 or not word.is_capital):
            before = found[at - 1].lower if at else ""
            missed = not (in_sentence if before == "," else in_clause) and not _verb_follows(found, at)
            tag = _participle(found, at, missed) if word.part in _PARTICIPLES else _verb(found, at)
            if tag is not None:
                verbs[at] = tag
            in_clause = in_clause or tag is Tag.VERB
        in_sentence = in_sentence or in_clause
    if not in_sentence:
        verbs.update((at, Tag.VERB) for at in _taken_for_noun(found))
    return verbs


def _verb(found: Sequence[Word], at: int) -> Tag:
    """What a form that is no participle does; taggers take "called" for a past form."""
    before = found[at - 1] if at else None
    names = found[at].lower in words.NAMING and before is not None
    if before is not None and (before.lower == "to" or (names and before.tag is Tag.CONTENT and not before.is_capital)):
        return Tag.NONFINITE
    return Tag.VERB


def _participle(found: Sequence[Word], at: int, missed: bool) -> Tag | None:
    """What a participle does: None for adjectives and nouns ("a rising tide", "above freezing").

    `missed`: without it the clause has no verb, as taggers take past forms for participles ("For weeks boys fished").
    """
    before = _told_of(found, at)
    if before is None:
        return Tag.NONFINITE
    if before.tag is Tag.HELPER:
        return Tag.VERB
    is_past = missed and not found[at].lower.endswith("ing")
    if before.is_nominal or before.lower in words.PRONOUNS:
        names = found[at].lower in words.NAMING and not before.is_capital
        return Tag.VERB if is_past and not names else Tag.NONFINITE
    return Tag.VERB if (before.lower == "," and is_past) or before.lower in {"and", "or", "but"} else None


def _taken_for_noun(found: Sequence[Word]) -> Iterator[int]:
    """Where the verb stands that is none to the tagger: "The doctor, Samir Oduya, visits on Friday"."""
    for at, word in enumerate(found[1:], start=1):
        behind_name = found[at - 1].is_capital or found[at - 1].text == ","
        if word.tag is Tag.CONTENT and not word.is_capital and behind_name and _third_person(word):
            yield at
            return


def _third_person(word: Word) -> bool:
    return word.lower.endswith("s") and not word.lower.endswith(("ss", "'s", "us"))


def _told_of(found: Sequence[Word], at: int) -> Word | None:
    """The word before, adverbs left out."""
    return next((word for word in reversed(found[:at]) if not words.is_adverb(word.text)), None)


def _verb_follows(found: Sequence[Word], at: int) -> bool:
    """Whether the clause goes on to a finite verb: "The island settled by monks was sold"."""
    for word in found[at + 1 :]:
        if word.lower in _CLAUSE_STARTS:
            return False
        if word.tag is Tag.HELPER or word.part in _FINITE:
            return True
    return False


def predication(found: Sequence[Word], place: int) -> Predication | None:
    """The predication that the words at character `place` belong to; None where no verb stands before them."""
    anchors = (at for at, word in enumerate(found) if word.start < place and _says(found, at))
    at = max(anchors, default=None)
    if at is None:
        return None
    if found[at].tag is Tag.NONFINITE:
        return _reduced(found, at)
    if _is_imperative(found, at):
        return _told(found, at)
    first = at
    while first > 0 and (found[first - 1].tag is Tag.HELPER or words.is_adverb(found[first - 1].text)):
        first -= 1
    return _of_chain(found, first, at) if found[first].lower != "be" else None  # "has to be cleaned"


def _of_chain(found: Sequence[Word], first: int, at: int) -> Predication | None:
    """What the helpers and the verb at words first..at say."""
    end = first
    while end > 0 and found[end - 1].lower in {"who", "which", "that", ","}:
        end -= 1
    if end and found[end - 1].text == ")":  # "The Normans (Norman: Nourmands) were"
        end = next((at for at in range(end - 1, 0, -1) if found[at].text == "("), end)
    begin = _subject_start(found, end, whole=end == first or _disagree(found[end - 1], found[first]))
    helper, verb = _parted(found[first : at + 1])
    said = Predication(
        subject=" ".join(word.text for word in found[begin:end]),
        helper=helper,
        verb=verb,
        subject_start=found[begin].start,
        verb_start=found[first].start,
        verb_end=found[at].end,
    )
    if begin < end:
        return said
    earlier = predication(found, said.verb_start)  # "... and arrived by sledge" has the subject of the verb before
    if earlier is not None and earlier.helper == SHOULD:
        said = replace(said, helper=SHOULD, verb=found[at].lower)
    return replace(said, subject=earlier.subject, subject_start=earlier.subject_start) if earlier else None


def _told(found: Sequence[Word], at: int) -> Predication:
    """What an imperative asks for: "what should you rinse?"."""
    start, end = found[at].start, found[at].end
    return Predication(
        subject="you", helper=SHOULD, verb=found[at].lower, subject_start=start, verb_start=start, verb_end=end
    )


def _says(found: Sequence[Word], at: int) -> bool:
    """Whether a word says something of a noun: a helper, a full verb, or a participle ("a hut made of turf")."""
    if found[at].tag is not Tag.NONFINITE:
        return found[at].tag in {Tag.HELPER, Tag.VERB}
    return at > 0 and found[at].part in _PARTICIPLES and found[at - 1].part.startswith("NN")


def _reduced(found: Sequence[Word], at: int) -> Predication | None:
    """What a participle says of the noun before it, as a clause of its own: "the hut was made of turf"."""
    begin = _subject_start(found, at, whole=False)
    if begin == at or found[at].lower in words.NAMING:
        return None
    phrase = [word.text for word in found[begin:at]]
    if phrase[0].lower() in words.ARTICLES:
        phrase[0] = "the"
    past = any(word.lower in _PAST or word.part == "VVD" for word in found)
    many = found[at - 1].part == "NN2"
    return Predication(
        subject=" ".join(phrase),
        helper=("were" if many else "was") if past else ("are" if many else "is"),
        verb=found[at].lower,
        subject_start=found[begin].start,
        verb_start=found[at].start,
        verb_end=found[at].end,
    )


def _is_imperative(found: Sequence[Word], at: int) -> bool:
    """Whether a verb says what to do: at the beginning, or behind words that say when ("If it rains, ...")."""
    told = found[at].tag is Tag.VERB and base_form(found[at].lower) == found[at].lower
    if at == 0 or not told:
        return told
    adverbial = found[0].lower in words.PREPOSITIONS | words.CONJUNCTIONS or words.is_adverb(found[0].text)
    return adverbial and (found[at - 1].text == "," or all(words.is_adverb(word.text) for word in found[:at]))


def _disagree(noun: Word, verb: Word) -> bool:
    """Whether a verb is about another noun than the one before it: "sheep with horns that eats seaweed"."""
    one = verb.lower in {"is", "was", "has", "does"} or verb.part == "VVZ"
    many = verb.lower in {"are", "were", "have", "do"}
    return (one and noun.part == "NN2") or (many and noun.part == "NN1")


def _parted(chain: Sequence[Word]) -> tuple[str, str]:
    """The helper before the subject of a question, and what of the verb stands behind it: did, build."""
    last, helpers = chain[-1], [word for word in chain if word.tag is Tag.HELPER]
    if last.tag is Tag.VERB:
        return (chain[0].lower if chain[0] in helpers else _helper_of(last.lower)), _behind_subject(chain)
    if len(helpers) > 1:
        return helpers[0].lower, " ".join(word.lower for word in chain if word is not helpers[0])
    return _OWNING.get(last.lower, last.lower), "have" if last.lower in _OWNING else ""


def _helper_of(verb: str) -> str:
    if verb in IRREGULAR_FORMS or verb.endswith("ed"):
        return "did"
    return "does" if verb.endswith("s") else "do"


def _behind_subject(chain: Sequence[Word]) -> str:
    """What of a verb stands behind the subject of a question: of "has not been built" it is "not been built"."""
    if chain[0].tag is Tag.HELPER:
        return " ".join(word.lower for word in chain[1:])
    return " ".join([*(word.lower for word in chain[:-1]), base_form(chain[-1].lower)])


def _subject_start(found: Sequence[Word], end: int, *, whole: bool) -> int:
    """Where the noun phrase that ends before word `end` begins; `end` itself where there is none.

    `whole` takes in what a preposition adds to it ("children under eight"); before "who" only the last noun counts.
    """
    at = end
    while at > 0:
        word = found[at - 1]
        if at < end and begins_anew(found, at):
            break
        if word.is_nominal or word.lower in {"of", "most", "least"}:
            at -= 1
        elif word.lower in words.DETERMINERS and word.part not in {"CJT", "PNQ"}:  # "that", where it is one
            at -= 1
            if not (at > 0 and found[at - 1].lower in words.PREPOSITIONS and at > 1 and found[at - 2].is_nominal):
                break
        elif whole and word.lower in words.PREPOSITIONS and at > 1 and found[at - 2].is_nominal:
            at -= 1
        else:
            break
    if at == end and end > 0 and found[end - 1].lower in words.SUBJECT_PRONOUNS:
        return end - 1
    return at if any(word.is_nominal for word in found[at:end]) else end


def clause_end(found: Sequence[Word], place: int, end: int) -> int:
    """Where the clause around `place` ends: before a conjunction or a mark, or "and" with a verb soon behind it."""
    for at, word in enumerate(found):
        if word.start < place:
            continue
        new_verb = word.lower in {"and", "but", "or"} and any(
            later.tag in {Tag.VERB, Tag.HELPER} for later in found[at + 1 : at + 4]
        )
        if word.lower in _ENDS_CLAUSE or new_verb:
            return word.start
    return end
