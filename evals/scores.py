"""Turns an answer and what people answered into scores between 0 and 1."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def normalized(text: str) -> str:
    """Lower case without punctuation, articles and surplus spaces, as SQuAD 1.1's evaluation script has it."""
    bare = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(answer: str, references: Iterable[str]) -> float:
    """1 where the answer is one of the references after normalization (SQuAD 1.1)."""
    given = normalized(answer)
    return float(any(given == normalized(reference) for reference in references))


def f1(answer: str, references: Iterable[str]) -> float:
    """Harmonic mean of the precision and recall of words, for the best reference (SQuAD 1.1)."""
    return max((_f1(normalized(answer).split(), normalized(reference).split()) for reference in references), default=0)


def _f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted)) if shared else 0.0


def contains(answer: str, references: Iterable[str], keywords: Sequence[Sequence[str]] = ()) -> float:
    """1 where one keyword of each group stands in the answer; without keywords, where one of the references does.

    A keyword may be the beginning of a word, in any case; one of digits is not looked for inside a longer number.
    References are compared as whole words after normalization.
    """
    if keywords:
        return float(all(any(_has(answer, keyword) for keyword in group) for group in keywords))
    given = f" {normalized(answer)} "
    return float(any(f" {bare} " in given for reference in references if (bare := normalized(reference))))


def _has(answer: str, keyword: str) -> bool:
    before = r"(?<!\d)(?<!\d[.,])" if keyword[:1].isdigit() else r"(?<!\w)" if keyword[:1].isalpha() else ""
    after = r"(?!\d)(?![.,]\d)" if keyword[-1:].isdigit() else ""
    return re.search(f"{before}{re.escape(keyword)}{after}", answer, re.IGNORECASE) is not None
