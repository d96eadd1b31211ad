"""Turns a passive clause, or what somebody was of something, into questions for the doer, as people ask them.

"The lamp was lit in 1871 by Anna Holm" becomes "Who lit the lamp in 1871?" and "Who lit the lamp?". A small model that
has only learned by whom the lamp was lit does not know who lit it.
"""

import re
from collections.abc import Sequence

from generator.english import words
from generator.english.tagger import Tag, Word
from generator.english.verbs import simple_past, third_person
from generator.english.words import word_set
from generator.rules.clauses import Predication
from generator.rules.openings import is_person, subject_inside
from generator.rules.spans import AnswerSpan, SpanKind

DEEDS = {
    "leader": ("led", "leads"),
    "owner": ("owned", "owns"),
    **{
        doer: (deed, deed)
        for doer, deed in (
            pair.split(":")
            for pair in word_set(
                """
            founder:founded inventor:invented discoverer:discovered creator:created maker:made builder:built
            architect:designed designer:designed author:wrote writer:wrote composer:composed painter:painted
            sculptor:made director:directed translator:translated publisher:published editor:edited winner:won
            conqueror:conquered
            """
            )
        )
    },
}
"""What whoever is called so did, and does as long as it lasts."""
_WHO_IT_WAS = re.compile(rf"Who (?P<helper>is|was) the (?P<doer>{'|'.join(DEEDS)}) of (?P<thing>[^,]+)\?")
_PASSIVE = {"was": simple_past, "were": simple_past, "is": third_person, "are": third_person}


def active(sentence: str, found: Sequence[Word], span: AnswerSpan, about: Predication) -> tuple[str, ...]:
    """Questions for a span behind "by"; none where the clause is not passive."""
    between = sentence[about.verb_end : span.start].split()
    while between and between[-1].lower() in words.ARTICLES:
        between.pop()
    doer = span.kind in {SpanKind.NAME, SpanKind.THING} and bool(between) and between[-1].lower() == "by"
    participle = about.verb.split()[-1] if about.verb else ""
    is_passive = about.helper in _PASSIVE and any(
        word.tag in {Tag.VERB, Tag.NONFINITE} and word.end == about.verb_end and word.lower == participle
        for word in found
    )
    if not doer or not is_passive or "not" in about.verb.split():
        return ()
    verb = _PASSIVE[about.helper](participle)
    rest = between[:-1]
    if rest and rest[-1].lower() in words.PREPOSITIONS:
        verb = f"{verb} {rest.pop()}"  # "is paid for by"
    said = f"{verb} {subject_inside(about, found)}"
    ends_in_name = len(span.text.split()) > 2 and all(word[0].isupper() for word in span.text.split()[-2:])
    is_thing = not ends_in_name or words.NAMING & set(span.text.split())
    asked = ("Who", "What") if is_thing and not is_person(span) else ("Who",)
    if is_thing and not (span.kind is SpanKind.NAME or words.may_act(span.text) or is_person(span)):
        asked = ("What",)
    if span.kind is SpanKind.NAME and words.is_thing(span.text) and words.head_noun(span.text) not in words.BODIES:
        asked = ("What",)
    questions = [f"{word} {said}?" for word in asked]
    return tuple(dict.fromkeys([f"{asked[0]} {' '.join([said, *rest])}?", *questions]))


def as_deed(question: str) -> str:
    """ "Who was the founder of the school?" is also "Who founded the school?"; empty where nothing was done."""
    return _WHO_IT_WAS.sub(_deed, question) if _WHO_IT_WAS.fullmatch(question) else ""


def _deed(said: re.Match[str]) -> str:
    past, present = DEEDS[said["doer"]]
    return f"Who {present if said['helper'] == 'is' else past} {said['thing']}?"
