"""Turns one sentence into words that say what they do in it: helpers, full verbs, numbers, what can be part of a name.

HanTa's model says each word's part of speech (C5, the tags of the British National Corpus). English function words and
the order of words mend what taggers take for something else. In other languages mostly numbers and names are found.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from generator.english import words
from generator.english.words import word_set

LONGEST = 40  # letters of a word that its analysis is worth; what is longer is no English word

_WORD = re.compile(
    r"\d+(?:\.\d+)?(?:st|nd|rd|th)?-[^\W\d_][\w-]*|\u00b0 ?[CF]\b|\b[ap]\.m\b\.?"
    r"|[£$€]?\d(?:[\d.,:/]*\d)?(?:st|nd|rd|th|%)?|[^\W\d_](?:[\w'\u2019-]*\w)?(?:(?<=s)['\u2019](?= \w))?|[^\w\s]"
)
_YEAR = re.compile(r"1\d{3}|20\d{2}")
_CLAUSE_STARTS = word_set(", ; : ( ) and but or who which that because when if since after before where while")
PARTICIPLES = word_set("VVN VVG")
_FINITE = word_set("VVB VVD VVZ")


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
    """Characters start..end of the sentence; `part` is what `parts_of_speech` says."""

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

    @property
    def is_verbal(self) -> bool:
        """Whether it is a helper or a full verb that has a subject."""
        return self.tag in {Tag.HELPER, Tag.VERB}


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
        if _is_infinitive(found, at):
            found[at] = replace(found[at], tag=Tag.NONFINITE, part="VVI")
        if found[at].text == "May" and found[at].part == "NP0":
            found[at] = replace(found[at], tag=Tag.CONTENT)
        of_a_name = numbers_a_name(found[at - 1], found[at]) or _joins_names(found, at)
        if of_a_name or _is_the_first(found[at - 1], found[at]):
            found[at] = replace(found[at], tag=Tag.CONTENT)
        if found[at].lower.replace(".", "") in {"am", "pm"} and found[at - 1].tag is Tag.NUMBER:
            found[at] = replace(found[at], tag=Tag.FUNCTION)
    for at, tag in _verbs(found).items():
        found[at] = replace(found[at], tag=tag)
        if tag is Tag.NONFINITE and found[at].part == "VVD":
            found[at] = replace(found[at], part="VVN")
    return tuple(found)


def _is_infinitive(found: Sequence[Word], at: int) -> bool:
    """Whether what looks like a noun must be a verb by the verb before "to": "the burner has failed to light"."""
    takes = at > 1 and found[at - 1].lower == "to" and found[at].tag is Tag.CONTENT and found[at].part == "NN1"
    return takes and found[at].text.islower() and analysed(found[at - 2].lower)[0] in words.TAKING_INFINITIVE


def numbers_a_name(before: Word, word: Word) -> bool:
    """Whether digits belong to the name before them: "the Corvane 40", and not "in March 40 people"."""
    is_name = before.tag is Tag.CONTENT and before.is_capital and before.text not in words.MONTHS | words.WEEKDAYS
    return is_name and word.text.isdigit()


def _joins_names(found: Sequence[Word], at: int) -> bool:
    """Whether this is the mark of "Holt & Sons"."""
    return found[at].text == "&" and found[at - 1].is_capital and at + 1 < len(found) and found[at + 1].is_capital


def _is_the_first(before: Word, word: Word) -> bool:
    """Whether this is no pronoun but a number: "Richard I"."""
    return word.text == "I" and before.tag is Tag.CONTENT and before.is_capital and before.part == "NP0"


def is_year(found: Sequence[Word], at: int) -> bool:
    """Whether digits are a year by the word before them: "In 1802 people left"."""
    said = at > 0 and found[at - 1].lower in {"in", "since", "until", "till", "by", "before", "after", "during"}
    return said and _YEAR.fullmatch(found[at].text) is not None


def begins_anew(found: Sequence[Word], at: int) -> bool:
    """Whether a word begins a phrase of its own behind a noun: "For weeks boys fished", "In 1802 Ada Holm built"."""
    if at == 0 or found[at - 1].lower.endswith(("'s", "s'")):
        return False
    of_year = at > 1 and found[at - 2].lower == "of" and _YEAR.fullmatch(found[at - 1].text) is not None
    if is_year(found, at - 1) or of_year:  # "In the summer of 1893 four boys drowned"
        return found[at].part[:2] in {"NN", "NP", "AJ"} or (of_year and found[at].tag is Tag.NUMBER)
    if found[at - 1].lower in words.TIMES and found[at].part == "NP0" and found[0].lower in words.PREPOSITIONS:
        return True  # "In the last season Ada Holm steered"
    if found[at].is_capital and found[at].text not in words.MONTHS:
        dated = at > 1 and found[at - 1].text in words.MONTHS and found[at - 2].tag is Tag.NUMBER  # "On 20 May Ada"
        at_age = at > 1 and found[at - 2].lower == "at" and found[at].part == "NP0"  # "At fifteen Ada left school"
        return dated or found[at - 1].text.isdigit() or (at_age and found[at - 1].tag is Tag.NUMBER)
    many = found[at - 1].part == "NN2" and not found[at - 1].is_capital
    return many and (found[at].part == "NN2" or found[at].part.startswith("AJ"))  # "after 150 meals fine cracks"


def verb_start(sentence: str) -> int:
    """Where the first verb begins; 0 where there is none."""
    found = tagged_words(sentence)
    at = first_verb(found)
    return 0 if at is None else found[at].start


def first_verb(found: Sequence[Word], place: int = 0) -> int | None:
    """Which word is the first verb or helper at or behind character `place`."""
    return next((at for at, word in enumerate(found) if word.start >= place and word.is_verbal), None)


def _tag(text: str) -> Tag:
    lower = text.lower().replace("\u2019", "'")
    is_code = text[0].isalpha() and text[-1].isdigit()  # "BM-77"
    describes = text[0].isdigit() and "-" in text  # "12-metre"
    if not (is_code or describes) and (text[-1].isdigit() or text[0].isdigit() or _is_number(lower)):
        return Tag.NUMBER
    if not (text[0].isalpha() or describes):
        return Tag.MARK
    if lower in words.AUXILIARIES:
        return Tag.HELPER
    return Tag.FUNCTION if lower in words.FUNCTION_WORDS or words.is_adverb(text) else Tag.CONTENT


def _is_number(lower: str) -> bool:
    """Whether a word is a number, which "three-day" is not."""
    first, *others = lower.split("-")
    counting = words.NUMBER_WORDS | words.ORDINALS | {"one", "first", "and", "a"}
    return first in words.NUMBER_WORDS and all(other in counting for other in others)


def _verbs(found: Sequence[Word]) -> dict[int, Tag]:
    """Positions of full verbs: finite ones and those of a helper (VERB), and those without a subject (NONFINITE)."""
    verbs: dict[int, Tag] = {}
    in_clause = in_sentence = False  # whether there was a verb or a helper so far
    for at, word in enumerate(found):
        in_clause = (in_clause and word.lower not in _CLAUSE_STARTS) or word.tag is Tag.HELPER
        before = found[at - 1].lower if at else ""
        if word.tag is Tag.CONTENT and word.part.startswith("VV") and not _is_no_verb(found, at, in_clause):
            missed = not (in_sentence if before == "," else in_clause) and not _verb_follows(found, at)
            said = word.part in PARTICIPLES or _is_added(found, at, in_clause)
            tag = _participle(found, at, missed and word.part in PARTICIPLES) if said else _verb(found, at)
            if tag is not None:
                verbs[at] = tag
            in_clause = in_clause or tag is Tag.VERB
        in_sentence = in_sentence or in_clause
    if not in_sentence:
        verbs.update((at, Tag.VERB) for at in _taken_for_noun(found))
    verbs.update((at, Tag.VERB) for at in range(1, len(found)) if _must_be_verb(found, at))
    if _begins_with_command(found):
        verbs[0] = Tag.VERB
    return verbs


def _is_no_verb(found: Sequence[Word], at: int, in_clause: bool) -> bool:
    """Whether what looks like a verb is a noun: "the ship's cooks", "Lin Fang asked", "seen near the compost heaps"."""
    word, before = found[at], found[at - 1] if at else None
    if before is None:
        named = at + 1 < len(found) and found[at + 1].is_capital and found[at + 1].tag is Tag.CONTENT
        return named and word.part in PARTICIPLES
    compound = in_clause and word.part == "VVZ" and before.part in {"NN1", "AJ0"} and not _says_that(found[:at])
    return word.is_capital or compound or before.lower.endswith(("'s", "s'"))


def _says_that(found: Sequence[Word]) -> bool:
    """Whether a clause may follow without a mark: "the sign says the shop opens", "who had the money gets a pot"."""
    return any(word.lower in words.SAYING | words.RELATIVE for word in found)


def _is_added(found: Sequence[Word], at: int, in_clause: bool) -> bool:
    """Whether a past form must be a participle, as its clause has a verb: "judged by a bead hung inside the door"."""
    if found[at].part != "VVD" or at + 1 == len(found):
        return False
    before = found[at - 1]
    told = in_clause and before.part in {"NN1", "NN2"} and found[at + 1].lower in words.PREPOSITIONS
    return told and before.is_nominal and not _says_that(found[:at])


def _begins_with_command(found: Sequence[Word]) -> bool:
    """Whether a first word that taggers do not know must be a verb, as an article is behind it: "Descale the pot"."""
    if len(found) < 3 or found[0].tag is not Tag.CONTENT or found[0].part[:2] == "AV":
        return False
    return found[1].lower in words.ARTICLES | {"your", "all", "each", "both", "every"}


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
    if before.lower == "," and not missed:
        return Tag.NONFINITE
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


def _must_be_verb(found: Sequence[Word], at: int) -> bool:
    """Whether the words around a noun leave it no other use: "which it rents", "the hall seats 210"."""
    before, word = found[at - 1], found[at]
    if word.text == "left" and word.part == "AJ0" and before.part == "NP0":
        return True
    if word.tag is not Tag.CONTENT or word.is_capital or word.part not in {"NN1", "NN2"}:
        return False
    if before.lower in words.SUBJECT_PRONOUNS or before.lower in {"always", "never", "often"}:
        return True
    if not (word.part == "NN2" and _third_person(word)) and word.lower != "cost":
        return False
    after = found[at + 1] if at + 1 < len(found) else None
    counts = after is not None and (after.part in {"CRD", "AT0"} or after.lower in words.DETERMINERS)
    behind_noun = before.part in {"NN1", "NP0"} and before.is_nominal
    return _ends_relative(found, at - 1) or (counts and (behind_noun or _is_complement(found, at - 1)))


def _is_complement(found: Sequence[Word], at: int) -> bool:
    """Whether an adjective is said of something by a verb, so that no noun of its own follows: "is too tight"."""
    told_by = _told_of(found, at)
    return found[at].part == "AJ0" and told_by is not None and told_by.lower in words.COPULAS


def _ends_relative(found: Sequence[Word], at: int) -> bool:
    """Whether the mark ends a clause of ", who" or ", which", behind which the sentence's own verb stands."""
    opened = next((place for place in range(at - 1, 0, -1) if found[place].text == ","), None)
    return found[at].text == "," and opened is not None and found[opened + 1].lower in {"who", "which"}


def _third_person(word: Word) -> bool:
    return word.lower.endswith("s") and not word.lower.endswith(("ss", "'s", "us"))


def _told_of(found: Sequence[Word], at: int) -> Word | None:
    """The word before, adverbs left out."""
    return next((word for word in reversed(found[:at]) if not words.is_adverb(word.text)), None)


def _verb_follows(found: Sequence[Word], at: int) -> bool:
    """Whether the clause goes on to a finite verb: "The island settled by monks was sold"."""
    apart = at > 0 and found[at - 1].text == ","  # "Her thesis, published in 1916, was"
    for before, word in pairwise(found[at:]):
        if word.lower in _CLAUSE_STARTS and not (apart and word.text not in {";", ":"}):
            return False
        if apart and before.text == ",":
            return word.tag is Tag.HELPER or word.part in _FINITE
        if not apart and (word.tag is Tag.HELPER or word.part in _FINITE):
            return True
    return False


def parts_of_speech(words: Sequence[str]) -> tuple[str, ...]:
    """The C5 tag of each word or mark: NN1, VVD, AJ0, …"""
    plain = [word[:LONGEST].replace("\u2019", "'") for word in words]
    return tuple(tag for _, _, tag in _model().tag_sent(plain))


@lru_cache(maxsize=1024)
def analysed(verb: str) -> tuple[str, str]:
    """The lemma and the C5 tag of a word that stands alone."""
    lemma, part = _model().analyze(verb[:LONGEST])
    return lemma, part


@cache
def _model() -> Any:
    from HanTa.HanoverTagger import HanoverTagger  # 0.3 s, which whoever imports this module should not pay

    return HanoverTagger("morphmodel_en.pgz")
