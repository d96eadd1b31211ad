"""Turns a text into passages, and a question into the passages that share most with it (BM25).

Written out here because no retriever is among the project's dependencies, a client should not need one, and the formula
is short (Robertson and Zaragoza, 2009, with k1 = 1.5 and b = 0.75 as rank-bm25 and Lucene's successors have them).
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from evals.sentences import sentences

PASSAGE_WORDS = 64
K1, B = 1.5, 0.75

_WORD = re.compile(r"\w+")


def passages(text: str, words: int = PASSAGE_WORDS) -> tuple[str, ...]:
    """Consecutive sentences of about `words` words together; a longer sentence is a passage of its own."""
    found: list[list[str]] = []
    count = 0
    for sentence in sentences(text):
        length = len(sentence.split())
        if not found or count + length > words:
            found.append([])
            count = 0
        found[-1].append(sentence)
        count += length
    return tuple(map(" ".join, found))


class Retriever:
    """Finds passages by words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._counts = [Counter(_words(text)) for text in texts]
        self._mean_length = sum(count.total() for count in self._counts) / max(1, len(texts))
        self._holders = Counter(word for count in self._counts for word in count)

    def best(self, question: str, count: int) -> tuple[str, ...]:
        """The `count` best passages in the order of the text."""
        words = set(_words(question))
        ranked = sorted(range(len(self._texts)), key=lambda i: (-self._score(self._counts[i], words), i))
        return tuple(self._texts[i] for i in sorted(ranked[:count]))

    def _score(self, counts: Counter[str], words: set[str]) -> float:
        length = 1 - B + B * counts.total() / (self._mean_length or 1)
        return sum(
            self._rarity(word) * counts[word] * (K1 + 1) / (counts[word] + K1 * length) for word in words & set(counts)
        )

    def _rarity(self, word: str) -> float:
        holders = self._holders[word]
        return math.log(1 + (len(self._texts) - holders + 0.5) / (holders + 0.5))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
