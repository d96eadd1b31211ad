"""Turns an answer and what people answered into scores between 0 and 1."""

from collections.abc import Iterable, Sequence

from evals.keywords import has
from lift import scoring


def normalized(text: str) -> str:
    """Lower case without punctuation, articles and surplus spaces, as SQuAD 1.1's evaluation script has it."""
    return " ".join(scoring.normalised(text))


def exact_match(answer: str, references: Iterable[str]) -> float:
    """1 where the answer is one of the references after normalization (SQuAD 1.1)."""
    given = normalized(answer)
    return float(any(given == normalized(reference) for reference in references))


def f1(answer: str, references: Iterable[str]) -> float:
    """Harmonic mean of the precision and recall of words, for the best reference that has any (SQuAD 1.1)."""
    return max((scoring.f1(answer, reference) for reference in references if normalized(reference)), default=0)


def contains(answer: str, references: Iterable[str], keywords: Sequence[Sequence[str]] = ()) -> float:
    """1 where one keyword of each group stands in the answer; without keywords, where one of the references does.

    References are compared as whole words after normalization.
    """
    if keywords:
        return float(all(any(has(answer, keyword) for keyword in group) for group in keywords))
    return float(any(scoring.contains(answer, reference) for reference in references))
