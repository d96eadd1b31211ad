"""Turns one sentence into the words in it that a question can have as its answer.

Light rules find numbers with their units, dates, names, noun phrases and clauses. They lean on English function words;
in other languages mostly numbers and names are found. A span that no sensible question has as its answer does little
harm, since its questions do not survive the round trip of the grounded strategy.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from generator import words
from generator.clauses import Tag, Word, tagged_words

MAX_SPANS = 10
MAX_PHRASE_WORDS = 8
MAX_CLAUSE_WORDS = 18


class SpanKind(StrEnum):
    """What a span is, and so which words its question begins with."""

    DATE = "date"
    QUANTITY = "quantity"
    NAME = "name"
    REASON = "reason"
    MANNER = "manner"
    OCCASION = "occasion"
    PLACE = "place"
    THING = "thing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSpan:
    """Characters start..end of its sentence. `unit` is what a quantity counts, empty where that is not clear."""

    start: int
    end: int
    text: str
    kind: SpanKind
    unit: str = ""


_MONTH = "|".join(words.MONTHS)
_DAY = "|".join(words.WEEKDAYS)
_DATE = re.compile(
    rf"(?:the )?(?:(?:first|second|third|fourth|last) )?(?:{_DAY})s?"
    rf"(?: (?:of|in) (?:the |each |every )?(?:month|{_MONTH}))?"
    rf"|(?:\d{{1,2}}(?:st|nd|rd|th)? (?:of )?)?\b(?:{_MONTH})\b(?: \d{{1,2}}(?:st|nd|rd|th)?\b)?(?:,? \d{{4}})?"
    r"|\b\d{1,2}[:.]\d{2}(?: ?[ap]\.?m\b\.?)?|\b\d{1,2} ?[ap]\.?m\b\.?|\b\w+ o['\u2019]clock"
    r"|\b1\d{3}s?\b(?![,.]\d)|\b20\d{2}s?\b(?![,.]\d)"
)
_CLAUSES = (
    (SpanKind.REASON, re.compile(r"\b(?:because|so that|in order to) [^.;!?]+", re.IGNORECASE)),
    (SpanKind.REASON, re.compile(r"(?<=, )since (?!then\b|\d)[^.;!?]+")),
    (SpanKind.MANNER, re.compile(r"\bby \w+ing\b[^.,;!?]*")),
    (SpanKind.OCCASION, re.compile(r"\b(?:when|if|after|before|until|during|whenever) [^.,;!?]+", re.IGNORECASE)),
)
_RANK = {kind: rank for rank, kind in enumerate(SpanKind)}


def answer_spans(sentence: str) -> tuple[AnswerSpan, ...]:
    """At most MAX_SPANS spans in the order of the sentence; of more, those of the first kinds of SpanKind are kept."""
    found: dict[tuple[int, int], AnswerSpan] = {}
    for span in _candidates(sentence):
        if not any(_same_place(span, other) for other in found.values()):
            found[span.start, span.end] = span
    chosen = sorted(found.values(), key=lambda span: _RANK[span.kind])[:MAX_SPANS]
    return tuple(sorted(chosen, key=lambda span: (span.start, span.end)))


def _same_place(span: AnswerSpan, other: AnswerSpan) -> bool:
    """Whether two spans say the same: one lies in the other and the difference is an article or so."""
    inside = span.start >= other.start and span.end <= other.end
    around = span.start <= other.start and span.end >= other.end
    return (inside or around) and abs(len(span.text) - len(other.text)) <= 4


def _candidates(sentence: str) -> Iterator[AnswerSpan]:
    tokens = tagged_words(sentence)
    for match in _DATE.finditer(sentence):
        yield _span(sentence, match.start(), match.end(), SpanKind.DATE)
    yield from _clauses(sentence)
    yield from _quantities(sentence, tokens)
    yield from _names(sentence, tokens)
    yield from _phrases(sentence, tokens)


def _span(sentence: str, start: int, end: int, kind: SpanKind, unit: str = "") -> AnswerSpan:
    return AnswerSpan(start=start, end=end, text=sentence[start:end], kind=kind, unit=unit)


def _clauses(sentence: str) -> Iterator[AnswerSpan]:
    for kind, pattern in _CLAUSES:
        for match in pattern.finditer(sentence):
            text = match.group().rstrip()
            if 2 < len(text.split()) <= MAX_CLAUSE_WORDS:
                yield _span(sentence, match.start(), match.start() + len(text), kind)


def _quantities(sentence: str, tokens: list[Word]) -> Iterator[AnswerSpan]:
    """Runs of number words with the words that they count: "eleven thousand sheets", "7.4 metres", "£6"."""
    at = 0
    while at < len(tokens):
        if tokens[at].tag is not Tag.NUMBER:
            at += 1
            continue
        first = at
        while at < len(tokens) and (
            tokens[at].tag is Tag.NUMBER or (tokens[at].lower == "and" and _number_at(tokens, at + 1))
        ):
            at += 1
        last = at - 1
        unit = ""
        if at < len(tokens) and tokens[at].text in {"%", "°"}:
            last = at
        elif at < len(tokens) and tokens[at].is_nominal and not tokens[at].is_capital:
            last, unit = at, tokens[at].lower
            modifier = unit.endswith(("ic", "al", "ous", "ed", "y", "an"))
            if modifier and at + 1 < len(tokens) and tokens[at + 1].is_nominal and not tokens[at + 1].is_capital:
                last, unit = at + 1, f"{unit} {tokens[at + 1].lower}"
        if last == first and tokens[first].lower in {"half", "double", "quarter"}:
            continue
        yield _span(sentence, tokens[first].start, tokens[last].end, SpanKind.QUANTITY, unit)


def _number_at(tokens: list[Word], at: int) -> bool:
    return at < len(tokens) and tokens[at].tag is Tag.NUMBER


def _names(sentence: str, tokens: list[Word]) -> Iterator[AnswerSpan]:
    """Runs of capitalised words, joined by "of", "de" and the like. A lone first word is no evidence of a name."""
    at = 0
    while at < len(tokens):
        if not (tokens[at].is_capital and (tokens[at].is_nominal or _capital_at(tokens, at + 1))):
            at += 1
            continue
        first = at
        at += 1
        while _capital_at(tokens, at) or (
            at < len(tokens)
            and tokens[at].lower in {"of", "de", "la", "van", "von", "der", "&"}
            and _capital_at(tokens, at + 1)
        ):
            at += 1
        start = first + 1 if tokens[first].lower in words.FUNCTION_WORDS else first
        if start == at or (start == 0 and at == 1):
            continue
        end = tokens[at - 1].end - (2 if tokens[at - 1].lower.endswith("'s") else 0)
        yield _span(sentence, tokens[start].start, end, SpanKind.NAME)


def _capital_at(tokens: list[Word], at: int) -> bool:
    return at < len(tokens) and tokens[at].is_capital and tokens[at].is_nominal


def _phrases(sentence: str, tokens: list[Word]) -> Iterator[AnswerSpan]:
    """Noun phrases: runs of nouns and what stands before them, with their article and with "of" inside."""
    at = 0
    while at < len(tokens):
        if not tokens[at].is_nominal:
            at += 1
            continue
        first, at = at, _run_end(tokens, at)
        if first == 0 or tokens[first - 1].tag is not Tag.HELPER or tokens[first].is_capital:
            yield from _phrase(sentence, tokens, first, at)


def _run_end(tokens: list[Word], at: int) -> int:
    while at < len(tokens):
        of_inside = tokens[at].lower == "of" and at + 1 < len(tokens)
        if of_inside and tokens[at + 1].is_nominal:
            at += 2
        elif (
            of_inside
            and at + 2 < len(tokens)
            and tokens[at + 1].lower in words.DETERMINERS
            and tokens[at + 2].is_nominal
        ):
            at += 3
        elif tokens[at].is_nominal:
            at += 1
        else:
            break
    return at


def _phrase(sentence: str, tokens: list[Word], begin: int, end: int) -> Iterator[AnswerSpan]:
    if end - begin > MAX_PHRASE_WORDS or (end - begin == 1 and len(tokens[begin].text) < 3):
        return
    if end - begin == 1 and tokens[begin].lower.endswith(("ed", "ing", "ly")):
        return
    before = tokens[begin - 1].lower if begin else ""
    start = begin - 1 if before in words.ARTICLES else begin
    preposition = tokens[start - 1].lower if start else ""
    kind = SpanKind.PLACE if preposition in words.PLACE_PREPOSITIONS else SpanKind.THING
    yield _span(sentence, tokens[start].start, tokens[end - 1].end, kind)
