"""Turns an answer span into the words that a question about it can begin with.

A small LLM left alone asks "What is the name of" about everything. Given "When was the lamp" it goes on as it should.
"""

from generator import words
from generator.clauses import Predication, Tag, Word, predication, tagged_words
from generator.spans import AnswerSpan, SpanKind
from generator.words import word_set

_DURATIONS = word_set("second minute hour day week month year decade century")
_BY_KIND = {
    SpanKind.DATE: ("When{}",),
    SpanKind.NAME: ("Who{}", "Who", "What is the name of"),
    SpanKind.REASON: ("Why{}",),
    SpanKind.MANNER: ("How{}",),
    SpanKind.OCCASION: ("When{}",),
    SpanKind.PLACE: ("Where{}", "What{}"),
    SpanKind.THING: ("What{}", "What"),
}
_LENGTHS = word_set("metre meter kilometre kilometer centimetre centimeter mile foot feet inch yard km cm m")


def openings(sentence: str, span: AnswerSpan) -> tuple[str, ...]:
    """Beginnings of questions whose answer is the span, the most fitting first."""
    found = tagged_words(sentence)
    before = [word for word in found if word.end <= span.start]
    about = predication(found, span.start)
    if about is None and not _is_adjunct(before, span):
        return _of_subject(found, span)
    if about is None:
        verb = next((word for word in found if word.start >= span.end and word.tag in {Tag.HELPER, Tag.VERB}), None)
        about = predication(found, verb.end) if verb else None
    tail = f" {about.helper} {_inside(about, found)}" if about else ""
    return tuple(opening.format(tail) for opening in _asked(span, before))


def whole_sentence_openings(sentence: str) -> tuple[str, ...]:
    """Beginnings of questions whose answer is the whole sentence."""
    found = tagged_words(sentence)
    verb = next((word for word in found if word.tag in {Tag.HELPER, Tag.VERB}), None)
    about = predication(found, verb.end) if verb else None
    return (f"What {about.helper} {_inside(about, found)}", "What") if about else ("What", "Who")


def _is_adjunct(before: list[Word], span: AnswerSpan) -> bool:
    """Whether words before the verb say when or where, and are not the subject: "In 1987 a flood ..."."""
    preposition = bool(before) and before[-1].lower in words.PREPOSITIONS - {"of"}
    return preposition or span.kind in {SpanKind.DATE, SpanKind.OCCASION, SpanKind.REASON, SpanKind.MANNER}


def _of_subject(found: list[Word], span: AnswerSpan) -> tuple[str, ...]:
    """The span is what the sentence is about: ask with its verb."""
    verb = next(
        (at for at, word in enumerate(found) if word.start >= span.end and word.tag in {Tag.HELPER, Tag.VERB}), None
    )
    if verb is None:
        return ("What", "Who")
    ahead = found[verb : verb + 2] if found[verb].tag is Tag.HELPER else found[verb : verb + 1]
    said = " ".join(word.text for word in ahead)
    if span.kind is SpanKind.QUANTITY and span.unit:
        return (f"How many {span.unit} {said}",)
    if span.kind is SpanKind.NAME:
        return (f"Who {said}", f"What {said}", "What is the name of")
    return (f"What {said}", f"Who {said}")


def _inside(about: Predication, found: list[Word]) -> str:
    """The subject as it reads inside a question: "The door" with a small letter, a name as it is."""
    first = next(word for word in found if word.start == about.subject_start)
    is_name = first.tag is Tag.CONTENT and (first.start > 0 or found[1].is_capital or first.lower.endswith("'s"))
    return about.subject if is_name else about.subject[0].lower() + about.subject[1:]


def _asked(span: AnswerSpan, before: list[Word]) -> tuple[str, ...]:
    """Question words by kind; `{}` is where helper and subject go."""
    last = before[-1].lower if before else ""
    last = before[-2].lower if last in words.ARTICLES and len(before) > 1 else last
    if span.kind is SpanKind.QUANTITY:
        return _of_quantity(span)
    if span.kind is SpanKind.NAME and last in words.PLACE_PREPOSITIONS:
        return ("Where{}", "What is the name of")
    if span.kind is SpanKind.THING and last == "by":
        return ("What{}", "Who{}")
    if span.kind is SpanKind.DATE and span.text.isdigit():
        return ("In what year{}", "When{}")
    return _BY_KIND[span.kind]


def _of_quantity(span: AnswerSpan) -> tuple[str, ...]:
    unit = span.unit.split(" ")[-1]
    if span.text[0] in "£$€" or unit in words.MONEY:
        return ("How much{}", "What{}")
    if unit.rstrip("s") in _DURATIONS:
        return ("How long{}", "How many " + span.unit + "{}")
    if unit.rstrip("s") in _LENGTHS:
        return ("How", "How far{}", "How many " + span.unit + "{}")
    if unit in words.MEASURES:
        return ("How much{}", "How", "How many " + span.unit + "{}")
    return ("How many " + span.unit + "{}", "How many") if span.unit else ("How many{}", "How old{}", "What{}")
