"""Names the sentences of an adapter's documents that a question and its answer have most to do with.

An adapter answers from weights, which cannot say where they have it from. Its training pairs can: the sentence whose
text and pairs share the rarest words with question and answer is what most likely taught it.
"""

import asyncio
import heapq
import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from storage import knowledge
from storage.knowledge import SentenceKnowledge
from storage.objects import ObjectStore
from storage.records import RevisionRef

SIZE_KEPT = 100_000  # of all indexes, which then take some 300 MB

P = ParamSpec("P")
T = TypeVar("T")

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
        self.sentences = sentences
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
        return tuple(Evidence(sentence=self.sentences[place], score=-score / whole) for score, place in ranked)

    def _rarity(self, word: str) -> float:
        """Inverse document frequency, a sentence being the document (Robertson and Sparck Jones)."""
        holders = len(self._places.get(word, ()))
        return math.log(1 + (len(self.sentences) - holders + 0.5) / (holders + 0.5))


class Witness:
    """What revisions know, read and indexed in `readers`: those asked for last are kept, and each is read once.

    All who ask for one wait for one reader, so that no more threads than one are held by it.
    """

    def __init__(self, objects: ObjectStore, readers: Executor) -> None:
        self._objects = objects
        self._readers = readers
        self._indexes: OrderedDict[RevisionRef, Index] = OrderedDict()
        self._making: dict[RevisionRef, asyncio.Future[Index]] = {}

    async def evidence(self, ref: RevisionRef, question: str, answer: str, count: int) -> tuple[Evidence, ...]:
        """At most `count` sentences, the nearest first; none where what taught it was not kept. StoreUnavailable."""
        index = await self._index(ref)
        return await self._read(index.nearest, f"{question} {answer}", count)

    async def sentences(self, ref: RevisionRef) -> Sequence[SentenceKnowledge]:
        """All of a revision's, in the documents' order; none where what taught it was not kept. StoreUnavailable."""
        return (await self._index(ref)).sentences

    async def _index(self, ref: RevisionRef) -> Index:
        if ref in self._indexes:
            self._indexes.move_to_end(ref)
            return self._indexes[ref]
        if ref not in self._making:
            making = self._making[ref] = self._read(self._made, ref)
            making.add_done_callback(lambda made: self._end_making(ref, made))
        return await asyncio.shield(self._making[ref])

    def _made(self, ref: RevisionRef) -> Index:
        return Index(knowledge.read(self._objects, ref))

    def _read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._readers, partial(work, *args, **kwargs))

    def _end_making(self, ref: RevisionRef, made: asyncio.Future[Index]) -> None:
        del self._making[ref]
        if not made.cancelled() and made.exception() is None:  # which all who waited may have left
            self._keep(ref, made.result())

    def _keep(self, ref: RevisionRef, index: Index) -> None:
        self._indexes[ref] = index
        self._indexes.move_to_end(ref)
        while len(self._indexes) > 1 and sum(kept.size for kept in self._indexes.values()) > SIZE_KEPT:
            self._indexes.popitem(last=False)


def _said(sentence: SentenceKnowledge) -> str:
    return " ".join([sentence.text, *(f"{pair.question} {pair.answer}" for pair in sentence.pairs)])


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
