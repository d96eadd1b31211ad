"""Turns the words of a sentence into its noun phrases."""

from collections.abc import Iterator, Sequence

from generator.english import words
from generator.english.tagger import Tag, Word, begins_anew

MAX_PHRASE_WORDS = 8


def noun_phrases(tokens: Sequence[Word], longest: float) -> Iterator[tuple[int, int]]:
    """Word positions begin..end of runs of nouns, and of lists of such runs, without the article before them.

    Of a list of more than `longest` characters, its runs.
    """
    found = [run for run in _runs(tokens) if _says_something(tokens, *run) or _is_number(tokens, *run)]
    at = 0
    while at < len(found):
        last = at
        while last + 1 < len(found) and _joined(tokens, found[last], found[last + 1]):
            last += 1
        begin, end = found[at][0], found[last][1]
        listed = any(token.lower in {"and", "or"} for token in tokens[found[at][1] : found[last][0]])
        fits = tokens[end - 1].end - tokens[max(begin - 1, 0)].start <= longest  # with an article
        if last > at and listed and fits and not _joins_clauses(tokens, begin, end):
            yield begin, end
        else:
            yield from (run for run in found[at : last + 1] if _says_something(tokens, *run))
        at = last + 1


def _is_number(tokens: Sequence[Word], begin: int, end: int) -> bool:
    """Whether a run is the rest of a list of numbers, as of "rooms 4, 5 and 9"."""
    return end - begin == 1 and tokens[begin].text.isdigit()


def _runs(tokens: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Word positions begin..end of runs of nouns, with "of" inside and "called" or "holding" and its object behind."""
    at = 0
    while at < len(tokens):
        if not tokens[at].is_nominal:
            at += 1
            continue
        first, at = at, _run_end(tokens, at)
        if at < len(tokens) and tokens[at].tag is Tag.NONFINITE and tokens[at - 1].tag is Tag.CONTENT:
            tail = at + 1 + (at + 1 < len(tokens) and tokens[at + 1].lower in words.DETERMINERS)
            at = _run_end(tokens, tail) if tail < len(tokens) and tokens[tail].is_nominal else at
        yield first, at


def _says_something(tokens: Sequence[Word], begin: int, end: int) -> bool:
    """Whether a run can be an answer: it ends in a noun, and not in one of time or number alone."""
    first, last = tokens[begin], tokens[end - 1]
    of_something = end - begin > 1 and tokens[begin + 1].lower == "of"
    said_of = first if of_something else last
    complement = begin > 0 and tokens[begin - 1].tag is Tag.HELPER and not said_of.part.startswith("NN")
    describes = last.part[:2] in {"AJ", "AV"} or complement  # "a major political impact", "is small", "is afraid of it"
    if end - begin > MAX_PHRASE_WORDS or (describes and not last.is_capital):
        return False
    return end - begin > 1 or not (_is_vague(first) or _is_rate(tokens, begin))


def _is_vague(word: Word) -> bool:
    verbal = word.text.endswith(("ed", "ing", "ly")) and not (word.part.startswith("NN") or word.is_capital)
    return verbal or len(word.lower) < 3 or word.lower in words.VAGUE_NOUNS


def _is_rate(tokens: Sequence[Word], at: int) -> bool:
    """Whether it is a time by which something is counted: "five hours a night"."""
    counts = at > 1 and tokens[at - 1].lower in {"a", "an"} and tokens[at - 2].is_nominal
    return counts and tokens[at].lower in words.DURATIONS | words.TIMES_OF_DAY


def _joined(tokens: Sequence[Word], left: tuple[int, int], right: tuple[int, int]) -> bool:
    """Whether only a comma or "and", and an article, stand between two runs."""
    between = [token.lower for token in tokens[left[1] : right[0]]]
    marks = [word for word in between if word not in words.DETERMINERS]
    joins = all(word in {",", "and", "or"} for word in marks) and 0 < len(marks) <= 2
    if len(marks) == 2 and not _is_listed_before(tokens, left[0]):
        return False  # "every 150 hours, and the belt has"
    return joins and not (between == marks and _may_be_verb(tokens, left, right[0]))


def _is_listed_before(tokens: Sequence[Word], begin: int) -> bool:
    """Whether a list has an earlier part before word `begin`: of two, no comma stands before "and"."""
    at = begin - (begin > 0 and tokens[begin - 1].lower in words.DETERMINERS)
    return at > 1 and tokens[at - 1].text == "," and tokens[at - 2].is_nominal


def _may_be_verb(tokens: Sequence[Word], left: tuple[int, int], at: int) -> bool:
    """Whether a bare word behind a run may say what else is done: "grams and floats", "novels, painted portraits"."""
    measured = tokens[left[0]].tag is Tag.NUMBER and tokens[left[1] - 1].lower in words.MEASURES | words.MONEY
    counts_else = measured and tokens[at].tag is not Tag.NUMBER
    costs = tokens[at].lower in {"cost", "costs"} and at + 1 < len(tokens) and tokens[at + 1].tag is Tag.NUMBER
    return counts_else or costs or tokens[at].lower.endswith("ed")


def _joins_clauses(tokens: Sequence[Word], begin: int, end: int) -> bool:
    """Whether a verb follows at once, and one stands before: then "and" joined clauses and no list."""
    follows = end < len(tokens) and tokens[end].is_verbal
    return follows and any(token.is_verbal for token in tokens[:begin])


def _run_end(tokens: Sequence[Word], first: int) -> int:
    at = first
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
        elif tokens[at].is_nominal and not (at > first and begins_anew(tokens, at)):
            at += 1
        else:
            break
    return at
