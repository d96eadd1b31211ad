"""Turns a sentence that opens with a pronoun into one that names what it is about.

"It was lit in 1871" becomes "The lighthouse was lit in 1871" where the sentence before has that subject. Only an
opening he, she, it, his, her or its is replaced, by the nearest candidate; where there is none it stays.
"""

import re
from collections.abc import Sequence

from generator import words
from generator.clauses import Tag, predication, tagged_words
from generator.spans import SpanKind, answer_spans

_OPENING = re.compile(
    r"(?:(?:But|And|Then|Today|So),? )?(He|She|It|His|Her|Its)\b"
    r"(?! (?:is (?:said|known|thought)|takes|took|costs|cost) )"  # "It takes an hour": about nothing
)
_POSSESSIVE = frozenset({"His", "Her", "Its"})
_PERSONAL = frozenset({"He", "She", "His", "Her"})


def resolved(sentence: str, preceding: Sequence[str], title: str = "") -> str:
    """The sentence with its opening pronoun replaced. `preceding`: the sentences before it, the nearest last."""
    opening = _OPENING.match(sentence)
    if opening is None:
        return sentence
    pronoun = opening.group(1)
    named = _person(preceding) if pronoun in _PERSONAL else _thing(preceding, title)
    if not named:
        return sentence
    name = named + ("'" if named.endswith("s") else "'s") if pronoun in _POSSESSIVE else named
    before = sentence[: opening.start(1)]
    return before + (name if before else name[0].upper() + name[1:]) + sentence[opening.end(1) :]


def _person(preceding: Sequence[str]) -> str:
    """The name nearest before that is no place: not after "in", "at" and the like."""
    for sentence in reversed(preceding):
        named = [span for span in answer_spans(sentence) if span.kind is SpanKind.NAME and " " in span.text]
        people = [span for span in named if not _is_placed(sentence[: span.start])]
        if people:
            return people[0].text
    return ""


def _is_placed(before: str) -> bool:
    last = before.lower().split()[-2:]
    return any(word in words.PLACE_PREPOSITIONS | {"of", "called"} for word in last)


def _thing(preceding: Sequence[str], title: str) -> str:
    """The subject of the nearest sentence before that has one which is no pronoun; else the title."""
    for sentence in reversed(preceding):
        found = tagged_words(sentence)
        verb = next((word for word in found if word.tag in {Tag.VERB, Tag.HELPER}), None)
        about = predication(found, verb.end) if verb else None
        if about is None or about.subject.lower() in words.SUBJECT_PRONOUNS:
            continue
        first, _, rest = about.subject.partition(" ")
        if first.lower() in words.PRONOUNS | {"his", "her", "its", "their"}:
            continue
        return f"{first.lower()} {rest}" if first in {"The", "A", "An", "Each", "Every"} else about.subject
    return title
