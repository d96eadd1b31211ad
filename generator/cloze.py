"""Turns a sentence and a span of it into a question by asking for the span in its place: the last resort."""

from generator import words
from generator.spans import AnswerSpan, SpanKind

_WORDS = {
    SpanKind.DATE: "when",
    SpanKind.NAME: "who",
    SpanKind.FREQUENCY: "how often",
    SpanKind.REASON: "why",
    SpanKind.MANNER: "how",
    SpanKind.OCCASION: "when",
}


def in_place(sentence: str, span: AnswerSpan) -> str:
    """ "The door weighs fourteen tonnes." with "fourteen tonnes" becomes "The door weighs how many tonnes?" """
    asked = _asked(span, sentence[: span.start].lower().split()[-1:])
    question = f"{sentence[: span.start]}{asked}{sentence[span.end :]}".rstrip(" .!?;:")
    return question[0].upper() + question[1:] + "?"


def _asked(span: AnswerSpan, before: list[str]) -> str:
    if span.kind is SpanKind.DATE and span.text.isdigit():
        return "which year"
    if span.kind is SpanKind.NAME and before and before[0] in words.PLACE_PREPOSITIONS:
        return "where"
    if span.kind is SpanKind.NAME and span.text.split()[0].lower() in words.ARTICLES:
        return "what"
    return f"how many {span.unit}".rstrip() if span.kind is SpanKind.QUANTITY else _WORDS.get(span.kind, "what")
