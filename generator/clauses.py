"""Turns one sentence into tagged words, and a place in it into the subject and helping verb of a question about it.

"The lamp was built in Oss" asks about "Oss" with the subject "the lamp" and the helper "was". No part-of-speech model:
English function words and endings decide. Where they decide wrongly a question is worse, and the round trip of the
grounded strategy drops it.
"""

import re
from dataclasses import dataclass, replace
from enum import Enum, auto

from generator import words
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
    """Characters start..end of the sentence."""

    start: int
    end: int
    text: str
    tag: Tag

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
_INHERITS = word_set("and but or who which that ,")


def tagged_words(sentence: str) -> list[Word]:
    """The words and marks of a sentence in order."""
    found = [Word(start=m.start(), end=m.end(), text=m.group(), tag=_tag(m.group())) for m in _WORD.finditer(sentence)]
    for at in range(1, len(found)):
        if numbers_a_name(found[at - 1], found[at]):
            found[at] = replace(found[at], tag=Tag.CONTENT)
    for at, tag in _verbs(found).items():
        found[at] = replace(found[at], tag=tag)
    return found


def numbers_a_name(before: Word, word: Word) -> bool:
    """Whether digits belong to the name before them: "the Corvane 40", and not "in March 40 people"."""
    is_name = before.tag is Tag.CONTENT and before.is_capital and before.text not in words.MONTHS | words.WEEKDAYS
    return is_name and word.text.isdigit()


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


def _verbs(found: list[Word]) -> dict[int, Tag]:
    """Positions of full verbs: one a clause (VERB), infinitives, and participles after a noun (NONFINITE)."""
    verbs: dict[int, Tag] = {}
    in_clause = inherits = False
    for at, word in enumerate(found):
        before = found[at - 1] if at else None
        after = found[at + 1] if at + 1 < len(found) else None
        if word.lower in _CLAUSE_STARTS:
            in_clause, inherits = False, word.lower in _INHERITS
        elif word.tag is Tag.HELPER:
            in_clause = True
        if word.tag is not Tag.CONTENT or word.is_capital or before is None:
            continue
        participle = word.lower.endswith(("ed", "ing")) or word.lower in IRREGULAR_FORMS
        told_of = found[at - 2] if words.is_adverb(before.text) and at > 1 else before
        noun_before = told_of.is_nominal and at - 1 not in verbs
        nothing_owned = after is None or not after.is_nominal or after.is_capital
        helped = participle or word.lower.endswith("en") or told_of.lower in words.MODALS
        if told_of.tag is Tag.HELPER and helped:
            verbs[at] = Tag.VERB
        elif (
            (word.lower in words.NAMING and noun_before)
            or (before.lower == "to" and _takes_object(after))
            or (noun_before and in_clause and participle and nothing_owned)
        ):
            verbs[at] = Tag.NONFINITE
        elif not in_clause and (
            told_of.lower in words.SUBJECT_PRONOUNS
            or ((noun_before or _inherited(before, after, inherits)) and _verb_form(word, before, after))
        ):
            verbs[at] = Tag.VERB
            in_clause = True
    return verbs


def _takes_object(after: Word | None) -> bool:
    return after is not None and (
        after.lower in words.DETERMINERS or after.tag is Tag.NUMBER or after.is_capital or after.lower in words.PRONOUNS
    )


def _inherited(before: Word, after: Word | None, inherits: bool) -> bool:
    """Whether a verb may stand here with the subject of the clause before: "... and arrived by sledge"."""
    joined = before.lower in _INHERITS | words.PREPOSITIONS or words.is_adverb(before.text)
    return inherits and joined and after is not None and after.lower not in {"of", ",", ".", "and"}


def _verb_form(word: Word, before: Word, after: Word | None) -> bool:
    if word.lower in IRREGULAR_FORMS:
        return True
    return (
        (after is None or after.tag is not Tag.HELPER)  # "supplies are brought"
        and before.tag is not Tag.NUMBER
        and word.lower.endswith(("s", "ed"))
        and not word.lower.endswith(("ss", "'s", "us"))
    )


def predication(found: list[Word], place: int) -> Predication | None:
    """The predication that the words at character `place` belong to; None where no verb stands before them."""
    anchors = (at for at, word in enumerate(found) if word.start < place and word.tag in {Tag.HELPER, Tag.VERB})
    at = max(anchors, default=None)
    if at is None:
        return None
    first = at
    while first > 0 and (found[first - 1].tag is Tag.HELPER or words.is_adverb(found[first - 1].text)):
        first -= 1
    helper = found[first].lower if found[first].tag is Tag.HELPER else _helper_of(found[at].lower)
    verb = _behind_subject(found[first : at + 1]) if found[at].tag is Tag.VERB else ""
    end = first
    while end > 0 and found[end - 1].lower in {"who", "which", "that", ","}:
        end -= 1
    begin = _subject_start(found, end, whole=end == first)
    verb_start = found[first].start
    if begin == end:  # "... and arrived by sledge" has the subject of the verb before
        earlier = predication(found, verb_start)
        if earlier is None:
            return None
        return replace(earlier, helper=helper, verb=verb, verb_start=verb_start, verb_end=found[at].end)
    subject = " ".join(word.text for word in found[begin:end])
    return Predication(
        subject=subject,
        helper=helper,
        verb=verb,
        subject_start=found[begin].start,
        verb_start=verb_start,
        verb_end=found[at].end,
    )


def _helper_of(verb: str) -> str:
    if verb in IRREGULAR_FORMS or verb.endswith("ed"):
        return "did"
    return "does" if verb.endswith("s") else "do"


def _behind_subject(chain: list[Word]) -> str:
    """What of a verb stands behind the subject of a question: of "has not been built" it is "not been built"."""
    if chain[0].tag is Tag.HELPER:
        return " ".join(word.lower for word in chain[1:])
    return " ".join([*(word.lower for word in chain[:-1]), base_form(chain[-1].lower)])


def _subject_start(found: list[Word], end: int, *, whole: bool) -> int:
    """Where the noun phrase that ends before word `end` begins; `end` itself where there is none.

    `whole` takes in what a preposition adds to it ("children under eight"); before "who" only the last noun counts.
    """
    at = end
    while at > 0:
        word = found[at - 1]
        if word.is_nominal or word.lower in {"of", "most", "least"}:
            at -= 1
        elif word.lower in words.DETERMINERS:
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
