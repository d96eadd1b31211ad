"""Turns a text into passages, and a question into the passages that share most with it (BM25, by the package bm25s)."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from evals.sentences import sentences
from lift.errors import InvalidOption

PASSAGE_WORDS = 64

_WORD = re.compile(r"\w+")


def available(option: str) -> None:
    """InvalidOption: bm25s is not installed."""
    if find_spec("bm25s") is None:
        raise InvalidOption(option=option, value="rag", needs="the package bm25s: pip install 'lift-server[evals]'")


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
        self._index = _indexed(list(map(_words, texts)))

    def best(self, question: str, count: int) -> tuple[str, ...]:
        """The `count` best passages in the order of the text; of equal ones the first."""
        scores = self._scores(list(dict.fromkeys(_words(question))))
        ranked = sorted(range(len(self._texts)), key=lambda i: (-scores[i], i))
        return tuple(self._texts[i] for i in sorted(ranked[:count]))

    def _scores(self, words: Sequence[str]) -> Sequence[float]:
        if self._index is None or not words:
            return [0.0] * len(self._texts)
        found: list[float] = self._index.get_scores(words).tolist()
        return found


def _indexed(texts: Sequence[Sequence[str]]) -> Any:
    """bm25s's index, with Lucene's rarity, k1 = 1.5 and b = 0.75; None where there is no word."""
    import bm25s

    if not any(texts):
        return None
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(texts, show_progress=False)
    return index


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
