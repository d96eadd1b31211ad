"""Names the sentences of an adapter's documents that a question and its answer have most to do with.

An adapter answers from weights, which cannot say where they have it from. Its training pairs can: the sentence whose
text and pairs share the rarest words with question and answer is what most likely taught it.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from storage import knowledge
from storage.knowledge import SentenceKnowledge
from storage.objects import ObjectStore
from storage.records import RevisionRef

INDEXES_KEPT = 64

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A sentence. `score`: share of the weight of the words asked and answered, rare ones more, in (0, 1]."""

    sentence: SentenceKnowledge
    score: float


class Index:
    """The sentences of one revision, by the words of their texts and pairs."""

    def __init__(self, sentences: Sequence[SentenceKnowledge]) -> None:
        self._sentences = sentences
        self._words = [_words(_said(sentence)) for sentence in sentences]
        self._holders = Counter(word for words in self._words for word in words)

    def nearest(self, text: str, count: int) -> tuple[Evidence, ...]:
        """At most `count` sentences that share a word with the text, the nearest first."""
        asked = {word: self._rarity(word) for word in _words(text)}
        whole = sum(asked.values())
        scores = [sum(asked[word] for word in words & asked.keys()) / whole for words in self._words] if whole else []
        ranked = sorted((-score, place) for place, score in enumerate(scores) if score > 0)
        return tuple(Evidence(sentence=self._sentences[place], score=-score) for score, place in ranked[:count])

    def _rarity(self, word: str) -> float:
        """Inverse document frequency, a sentence being the document (Robertson and Sparck Jones)."""
        holders = self._holders[word]
        return math.log(1 + (len(self._sentences) - holders + 0.5) / (holders + 0.5))


class Witness:
    """Finds evidence for any adapter; the indexes of those asked last are kept. Its method blocks."""

    def __init__(self, objects: ObjectStore) -> None:
        self._index = lru_cache(INDEXES_KEPT)(lambda ref: Index(knowledge.read(objects, ref)))

    def evidence(self, ref: RevisionRef, question: str, answer: str, count: int) -> tuple[Evidence, ...]:
        """At most `count` sentences, the nearest first; none for a revision of old. StoreUnavailable."""
        return self._index(ref).nearest(f"{question} {answer}", count)


def _said(sentence: SentenceKnowledge) -> str:
    return " ".join([sentence.text, *(f"{pair.question} {pair.answer}" for pair in sentence.pairs)])


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
