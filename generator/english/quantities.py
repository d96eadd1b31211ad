"""Turns the words of a sentence into its amounts: "eleven thousand sheets", "7.4 metres", "£6", "a third"."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from generator.english import words
from generator.english.tagger import Tag, Word, is_year

MAX_UNIT_WORDS = 3
_OF_SPEEDS = {"second", "minute", "hour"}
SIGNS = {"%": "", "\u00b0": "degrees"} | dict.fromkeys(("\u00b0C", "\u00b0 C"), "\u00b0C")
SIGNS |= dict.fromkeys(("\u00b0F", "\u00b0 F"), "\u00b0F")
"""What stands behind a number in place of a word, and what it counts."""


def quantities(tokens: Sequence[Word]) -> Iterator[tuple[int, int, str]]:
    """Character places start..end of runs of number words with what they count, and the unit, empty if not clear."""
    at = 0
    while at < len(tokens):
        if tokens[at].tag is not Tag.NUMBER or is_year(tokens, at):
            at += 1
            continue
        first = at
        behind, last, unit = _amount(tokens, at)
        multiplied = all(token.lower in {"half", "double", "quarter"} for token in tokens[first:behind])
        at = behind
        if first and tokens[first - 1].lower == "between" and _joins(tokens, last + 1):
            first, (at, last, unit) = first - 1, _amount(tokens, last + 2)
        if not multiplied:
            yield tokens[first].start, tokens[last].end, unit
    yield from _fractions(tokens)


def _amount(tokens: Sequence[Word], at: int) -> tuple[int, int, str]:
    """Behind the number that begins at word `at`, the last word of what it counts, and the unit."""
    while at < len(tokens) and (
        tokens[at].tag is Tag.NUMBER
        or (tokens[at].lower == "and" and tokens[at - 1].text.isalpha() and _number_at(tokens, at + 1))
    ):
        at += 1
    if at < len(tokens) and tokens[at].text in SIGNS:
        return at, at, SIGNS[tokens[at].text]
    if at < len(tokens) and counted(tokens[at]):
        last = _unit_end(tokens, at)
        return at, last, " ".join(token.lower for token in tokens[at : last + 1])
    return at, at - 1, ""


def _joins(tokens: Sequence[Word], at: int) -> bool:
    """Whether "and" and another number stand at this place."""
    return at < len(tokens) and tokens[at].lower == "and" and _number_at(tokens, at + 1)


def _fractions(tokens: Sequence[Word]) -> Iterator[tuple[int, int, str]]:
    """ "A third", where nothing is said of what, and "half an hour", of which hours are the unit."""
    for at, token in enumerate(tokens):
        after = tokens[at + 1] if at + 1 < len(tokens) else None
        is_share = at > 0 and token.lower in words.FRACTIONS and tokens[at - 1].lower in {"a", "one"}
        if is_share and not (after and (after.is_nominal or after.lower == "of")):
            yield tokens[at - 1].start, token.end, ""
        halves = token.lower == "half" and after is not None and after.lower in {"a", "an"}
        if halves and at + 2 < len(tokens) and tokens[at + 2].lower in words.MEASURES:
            last = _unit_end(tokens, at + 2)
            unit = [f"{tokens[at + 2].lower}s", *(word.lower for word in tokens[at + 3 : last + 1])]
            yield token.start, tokens[last].end, " ".join(unit)


def counted(token: Word) -> bool:
    """Whether a number behind which this word stands counts it."""
    return token.is_nominal and not token.is_capital


def _unit_end(tokens: Sequence[Word], at: int) -> int:
    """The last word of what is counted: candle makers, square kilometres, litres of water."""
    run = takewhile(counted, tokens[at : at + MAX_UNIT_WORDS])
    last = at + next((place for place, token in enumerate(run) if token.part == "NN2"), 0)
    behind = tokens[last + 1 : last + 3]
    if _is_speed(tokens[last], behind):
        return last + 2
    amount = tokens[last].lower in words.MEASURES - words.DURATIONS and len(behind) == 2 and behind[0].lower == "of"
    if amount and counted(behind[1]):
        last += 2
        while last + 1 < len(tokens) and counted(tokens[last + 1]) and tokens[last].part.startswith("AJ"):
            last += 1
    return last


def _is_speed(length: Word, behind: Sequence[Word]) -> bool:
    """Whether a length is one in a time: "kilometres an hour"."""
    in_time = len(behind) == 2 and behind[0].lower in words.PER and behind[1].lower in _OF_SPEEDS
    return in_time and length.lower.rstrip("s") in words.LENGTHS


def _number_at(tokens: Sequence[Word], at: int) -> bool:
    return at < len(tokens) and tokens[at].tag is Tag.NUMBER
