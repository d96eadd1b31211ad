"""Turns a sentence into its dates and times of day: "4 July 1931", "the last Sunday of March", "at 6.15"."""

import re
from collections.abc import Iterator, Sequence

from generator.english import words
from generator.english.quantities import SIGNS, counted
from generator.english.tagger import Tag, Word, is_year

_PART_OF_DAY = "|".join(words.TIMES_OF_DAY)
_MONTH = "|".join(words.MONTHS)
_DAY = "|".join(words.WEEKDAYS)
_DAY_OF_MONTH = (
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)? (?:of )?)?\b(?:{_MONTH})\b(?: \d{{1,2}}(?:st|nd|rd|th)?\b)?(?:,? \d{{4}})?"
)
_YEAR = r"(?<![A-Za-z\d.,£$€])(?:1\d{3}|20\d{2})s?(?![A-Za-z\d]|[,.]\d)"
_POINT = rf"(?:{_DAY_OF_MONTH}|{_YEAR})"
_HOUR_AND_MINUTE = r"(?:[01]?[1-9]|[12]0|2[1-4])\.[0-5]\d"
_HALF_OF_DAY = r" ?[ap](?:m\b|\.m\b\.?)"
_SURE_TIME = rf"(?:\d{{1,2}}:\d{{2}}(?:{_HALF_OF_DAY})?|\d{{1,2}}(?:\.\d{{2}})?{_HALF_OF_DAY})"
_TIME_OF_DAY = (
    rf"(?<![\d.,:£$€])\b(?:\d{{1,2}}:\d{{2}}(?:{_HALF_OF_DAY})?|{_HOUR_AND_MINUTE}(?:{_HALF_OF_DAY})?(?![.,]\d)"
    rf"|\d{{1,2}}{_HALF_OF_DAY})(?![\d:])"
)
_DATE = re.compile(
    rf"\b(?:[Bb]etween {_POINT} and|[Ff]rom {_POINT} (?:to|until|till)) {_POINT}"
    rf"|\b(?:[Bb]etween {_SURE_TIME} and|[Ff]rom (?:{_SURE_TIME}|\d{{1,2}}) (?:to|until|till)) {_SURE_TIME}"
    rf"|\b(?:{_DAY}),? {_DAY_OF_MONTH}"
    rf"|(?<!\ba )\b(?:{'|'.join(words.SEASONS)})\b"
    rf"|(?:the )?(?:(?:first|second|third|fourth|last) )?(?:{_DAY})s?(?: (?:{_PART_OF_DAY})s?\b)?"
    rf"(?: (?:of|in) (?:the |each |every )?(?:month|{_MONTH}))?"
    rf"|{_DAY_OF_MONTH}"
    rf"|{_TIME_OF_DAY}|\b\w+ o['\u2019]clock"
    r"|(?:the )?(?:early |late |mid-)?\d{1,2}(?:st|nd|rd|th)(?: and \d{1,2}(?:st|nd|rd|th))? centur(?:y|ies)\b"
    rf"|{_YEAR}"
    rf"|\b(?:the )?(?:first|last|{'|'.join(words.ORDINALS)}) (?:{_PART_OF_DAY}|day|week|month|year|century)\b"
)
_DOTTED_TIME = re.compile(_HOUR_AND_MINUTE)
_BEFORE_TIMES = frozenset({"at", "until", "till", "before", "after"})
_JOINS_DATES = frozenset({" and ", " or "})
_JOINS_TIMES = frozenset({"and", "or", "until", "till", ","})


def dates(sentence: str, tokens: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Character places start..end of what says when, spans and pairs whole: "from 9 am to 5 pm", "1802 and 1805"."""
    last: tuple[int, int] | None = None
    for match in _DATE.finditer(sentence):
        if _is_part_of_name(tokens, match.start(), match.end()) or _is_amount(tokens, match):
            continue
        start, end = match.span()
        if last and sentence[last[1] : start] in _JOINS_DATES:
            start = last[0]
        elif last:
            yield last
        last = start, end
    if last:
        yield last


def _is_part_of_name(tokens: Sequence[Word], start: int, end: int) -> bool:
    """Whether a month, day or season only helps to name something: "Baron August Hessler", "the autumn fair"."""
    at = next((at for at, token in enumerate(tokens) if token.start == start and token.end == end), None)
    if at is None:
        return False
    names_a_person = at > 0 and tokens[at - 1].is_capital and tokens[at - 1].is_nominal
    of_a_thing = tokens[at].lower in words.SEASONS and any(
        after.tag is Tag.CONTENT and after.part in {"NN1", "NN2"} for after in tokens[at + 1 : at + 2]
    )
    return names_a_person or of_a_thing


def _is_amount(tokens: Sequence[Word], match: re.Match[str]) -> bool:
    """Whether digits say no year and no time of day: "2.75 metres", "1500 people", and not "at 6.15 and 9.40"."""
    first = last = next(at for at, token in enumerate(tokens) if token.end > match.start())
    if match.group().isdigit():
        return _counts_many(tokens, first)
    if not _DOTTED_TIME.fullmatch(match.group()):
        return False
    while first > 1 and tokens[first - 1].lower in _JOINS_TIMES and tokens[first - 2].tag is Tag.NUMBER:
        first -= 2
    while last + 2 < len(tokens) and tokens[last + 1].lower in _JOINS_TIMES and tokens[last + 2].tag is Tag.NUMBER:
        last += 2
    behind = tokens[last + 1] if last + 1 < len(tokens) else None
    counts = behind is not None and (counted(behind) or behind.text in SIGNS)
    return counts or first == 0 or tokens[first - 1].lower not in _BEFORE_TIMES


def _counts_many(tokens: Sequence[Word], at: int) -> bool:
    """Whether a number that could be a year says how many: "1500 people", but "the 1986 floods", "in 1500 people"."""
    dated = is_year(tokens, at) or (at > 0 and tokens[at - 1].lower in words.DETERMINERS | {"of", "from", "to"})
    behind = tokens[at + 1] if at + 1 < len(tokens) else None
    return behind is not None and counted(behind) and words.is_plural(behind.text) and not dated
