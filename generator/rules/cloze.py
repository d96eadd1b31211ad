"""Turns a sentence and a span of it into a question by asking for the span in its place: the last resort."""

import re

from generator.english import words
from generator.english.tagger import tagged_words
from generator.rules.clauses import clause_end
from generator.rules.openings import predication_about
from generator.rules.spans import AnswerSpan, SpanKind

MAX_WORDS = 20

_WORDS = {
    SpanKind.DATE: "when",
    SpanKind.NAME: "who",
    SpanKind.FREQUENCY: "how often",
    SpanKind.REASON: "why",
    SpanKind.MANNER: "how",
    SpanKind.OCCASION: "when",
    SpanKind.COLOUR: "what colour",
}
_SAID_BY_WHEN = re.compile(r"\b(?:in|on|at|every) $", re.IGNORECASE)
_OWNER = re.compile(r"\b(?:its|his|her|their|our|my|your) $", re.IGNORECASE)


def is_apart(sentence: str, span: AnswerSpan) -> bool:
    """Whether a comma parts the span from the verb: "The pilot, Tobias Renn, is young" cannot be asked in place."""
    behind = sentence[span.end :].startswith(",")
    return behind and (span.start == 0 or sentence[: span.start].endswith(", "))


def in_place(sentence: str, span: AnswerSpan) -> str:
    """ "The door weighs fourteen tonnes." with "fourteen tonnes" becomes "The door weighs how many tonnes?".

    Of a sentence of more than MAX_WORDS words only the clause around the span is said.
    """
    start, end = _shown(sentence, span)
    before, behind = sentence[start : span.start], sentence[span.end : end]
    if span.kind is SpanKind.TITLE:
        before, behind = before[:-1], re.sub(r"[\"\u201d]", "", behind, count=1)  # its quotation marks
    asked = _asked(span, before.lower().split()[-1:])
    before = _SAID_BY_WHEN.sub("", before) if asked == "when" else _OWNER.sub("", before)
    question = f"{before}{asked}{behind}".strip(" .!?;:,")
    return question[0].upper() + question[1:] + "?"


def _shown(sentence: str, span: AnswerSpan) -> tuple[int, int]:
    """Where the words stand that are said around the span."""
    found = tagged_words(sentence)
    about = predication_about(found, span) if len(found) > MAX_WORDS else None
    if about is None or about.subject_start > span.start:
        return 0, len(sentence)
    return about.subject_start, clause_end(found, max(about.verb_end, span.end), len(sentence))


def _asked(span: AnswerSpan, before: list[str]) -> str:
    if span.kind is SpanKind.DATE and span.text.isdigit():
        return "which year"
    if span.kind is SpanKind.NAME and before and before[0] in words.PLACE_PREPOSITIONS:
        return "where"
    of_a_thing = before == ["of"] or bool(before and before[0] in words.NAMED_THINGS)
    if span.kind is SpanKind.NAME and (of_a_thing or span.text.split()[0].lower() in words.ARTICLES):
        return "what"
    of_no_number = span.text.split()[-1] in words.FRACTIONS or span.text[0] in "£$€" or span.text.endswith("%")
    if span.kind is SpanKind.QUANTITY and of_no_number:
        return "how much"
    return f"how many {span.unit}".rstrip() if span.kind is SpanKind.QUANTITY else _WORDS.get(span.kind, "what")
