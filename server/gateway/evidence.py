"""Names the sentences of an adapter's documents that a question and its answer have most to do with.

An adapter answers from weights, which cannot say where they have it from. Its training pairs can: the sentence whose
text and pairs share the rarest words with question and answer is what most likely taught it.
"""

import heapq
import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from storage import knowledge
from storage.knowledge import SentenceKnowledge
from storage.objects import ObjectStore
from storage.records import RevisionRef

SIZE_KEPT = 100_000  # of all indexes, which then take some 300 MB

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A sentence. `score`: share of the weight of the words asked and answered, rare ones more, in (0, 1]."""

    sentence: SentenceKnowledge
    score: float


class Index:
    """The sentences of one revision, by the words of their texts and pairs. `size`: how many of both it holds."""

    def __init__(self, sentences: Sequence[SentenceKnowledge]) -> None:
        self.size = sum(1 + len(sentence.pairs) for sentence in sentences)
        self._sentences = sentences
        self._places: dict[str, list[int]] = {}
        for place, sentence in enumerate(sentences):
            for word in _words(_said(sentence)):
                self._places.setdefault(word, []).append(place)

    def nearest(self, text: str, count: int) -> tuple[Evidence, ...]:
        """At most `count` sentences that share a word with the text, the nearest first."""
        asked = {word: self._rarity(word) for word in _words(text)}
        whole = sum(asked.values())
        scores: defaultdict[int, float] = defaultdict(float)
        for word, rarity in asked.items():
            for place in self._places.get(word, ()):
                scores[place] += rarity
        ranked = heapq.nsmallest(count, ((-score, place) for place, score in scores.items()))
        return tuple(Evidence(sentence=self._sentences[place], score=-score / whole) for score, place in ranked)

    def _rarity(self, word: str) -> float:
        """Inverse document frequency, a sentence being the document (Robertson and Sparck Jones)."""
        holders = len(self._places.get(word, ()))
        return math.log(1 + (len(self._sentences) - holders + 0.5) / (holders + 0.5))


class Witness:
    """Finds evidence for any adapter; the indexes of those asked last are kept, and each is made once. It blocks."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._changing = Lock()
        self._indexes: OrderedDict[RevisionRef, Index] = OrderedDict()
        self._making: dict[RevisionRef, Lock] = {}

    def evidence(self, ref: RevisionRef, question: str, answer: str, count: int) -> tuple[Evidence, ...]:
        """At most `count` sentences, the nearest first; none for a revision of old. StoreUnavailable."""
        return self._index(ref).nearest(f"{question} {answer}", count)

    def _index(self, ref: RevisionRef) -> Index:
        with self._changing:
            making = self._making.setdefault(ref, Lock())
        with making:
            try:
                index = self._indexes.get(ref) or Index(knowledge.read(self._objects, ref))
                with self._changing:
                    self._keep(ref, index)
                return index
            finally:
                with self._changing:
                    self._making.pop(ref, None)

    def _keep(self, ref: RevisionRef, index: Index) -> None:
        self._indexes[ref] = index
        self._indexes.move_to_end(ref)
        while len(self._indexes) > 1 and sum(kept.size for kept in self._indexes.values()) > SIZE_KEPT:
            self._indexes.popitem(last=False)


def _said(sentence: SentenceKnowledge) -> str:
    return " ".join([sentence.text, *(f"{pair.question} {pair.answer}" for pair in sentence.pairs)])


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
