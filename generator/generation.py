"""Turns documents into a stream of pairs and sentence outcomes, many sentences at once.

Memory is bounded by sentences, not by pairs: at most SENTENCES_AT_ONCE are being written about or wait to be taken by
the reader of the stream. So a slow reader stops its own stream and never keeps a place at the LLM endpoint that others
share.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

import structlog

from generator import metrics
from generator.familiar import familiar_words
from generator.llm import RequestFailed, Usage
from generator.matching import normalised
from generator.pairs import PassageFailed, QuestionAnswer, Strategy
from generator.rules.people import People
from generator.sentences import Passage, SentencePlace, passage_of, said_at, sentence_places
from lift.errors import EndpointUnavailable

log = structlog.get_logger()

SENTENCES_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceText:
    """One document as it was sent."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSentence:
    """A sentence of document number `document`; its position in the plan is its index."""

    document: int
    place: SentencePlace


@dataclass(frozen=True, slots=True, kw_only=True)
class PairWritten:
    """A pair about sentence number `sentence_index`."""

    sentence_index: int
    pair: QuestionAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceFinished:
    """All pairs of a sentence were sent. `error` is empty where nothing went wrong."""

    sentence_index: int
    pairs: int
    error: str


Events: TypeAlias = asyncio.Queue[PairWritten | SentenceFinished | None]


class Reading:
    """Documents taken apart into sentences whose indices run through all of them."""

    def __init__(self, documents: Sequence[SourceText], window_characters: int) -> None:
        self._documents = tuple(documents)
        self._window_characters = window_characters
        self._places = tuple(sentence_places(document.text) for document in self._documents)
        self._first = [0, *accumulate(len(places) for places in self._places)]
        self._persons = [
            _Persons(document.text, places) for document, places in zip(documents, self._places, strict=True)
        ]
        self._familiar = [
            familiar_words([said_at(document.text, place) for place in places])
            for document, places in zip(documents, self._places, strict=True)
        ]
        self.plan = tuple(
            PlacedSentence(document=number, place=place)
            for number, places in enumerate(self._places)
            for place in places
        )

    async def read_before(self, index: int) -> None:
        """Reads what comes before a sentence of its document and lets others go on between sentences.

        `passage` would do so at once: of a job that goes on late in a long document it takes seconds.
        """
        number = self.plan[index].document
        for at in range(self._persons[number].sentences_read, index - self._first[number]):
            self._persons[number].meant(at)
            await asyncio.sleep(0)

    def passage(self, index: int) -> Passage:
        """Sentence number `index` with its window."""
        number = self.plan[index].document
        document = self._documents[number]
        at = index - self._first[number]
        passage = passage_of(
            title=document.title,
            text=document.text,
            places=self._places[number],
            at=at,
            window_characters=self._window_characters,
        )
        return replace(passage, person=self._persons[number].meant(at), familiar=self._familiar[number])


class _Persons:
    """Whom "he" and "she" stand for in the sentences of a text, each of which is read once and in order."""

    def __init__(self, text: str, places: Sequence[SentencePlace]) -> None:
        self._text = text
        self._places = places
        self._people = People()
        self._meant: list[str] = []

    @property
    def sentences_read(self) -> int:
        """How many, from the first."""
        return len(self._meant)

    def meant(self, at: int) -> str:
        """The person of the sentence at a position."""
        for place in self._places[len(self._meant) : at + 1]:
            self._meant.append(self._read(said_at(self._text, place)))
        return self._meant[at]

    def _read(self, sentence: str) -> str:
        try:
            return self._people.meant(sentence)
        except Exception:  # a sentence that rules trip over has no person; those behind it are read all the same
            log.exception("person_failed")
            return ""


async def generate(
    reading: Reading, todo: Iterable[int], strategy: Strategy, usage: Usage
) -> AsyncGenerator[PairWritten | SentenceFinished]:
    """Pairs about the sentences `todo`, in any order, and the end of each after its pairs. EndpointUnavailable."""
    events: Events = asyncio.Queue()
    room = asyncio.Semaphore(SENTENCES_AT_ONCE)
    asked: set[str] = set()

    async def write_all() -> None:
        try:
            async with asyncio.TaskGroup() as sentences:
                for index in todo:
                    await room.acquire()
                    await reading.read_before(index)
                    sentences.create_task(_write_one(index, strategy, reading, usage, asked=asked, events=events))
        finally:
            events.put_nowait(None)

    writing = asyncio.create_task(write_all())
    try:
        while (event := await events.get()) is not None:
            if isinstance(event, SentenceFinished):
                room.release()
            yield event
        await writing
    except* EndpointUnavailable as group:
        raise group.exceptions[0] from None
    finally:
        writing.cancel()
        await asyncio.wait([writing])


async def _write_one(
    index: int, strategy: Strategy, reading: Reading, usage: Usage, *, asked: set[str], events: Events
) -> None:
    """Puts the pairs of one sentence, without questions that the stream has had already, and its end."""
    pairs, error = 0, ""
    try:
        async with aclosing(strategy.write(reading.passage(index), usage)) as written:
            async for pair in written:
                key = " ".join(normalised(pair.question)) or pair.answer  # raw text has no question
                if key in asked:
                    metrics.REFUSED.labels("repeated").inc()
                    continue
                asked.add(key)
                events.put_nowait(PairWritten(sentence_index=index, pair=pair))
                metrics.PAIRS.labels(pair.kind).inc()
                pairs += 1
    except (PassageFailed, RequestFailed) as failure:
        error = str(failure)
        log.warning("sentence_failed", sentence=index, pairs=pairs, error=error)
    except EndpointUnavailable:
        raise
    except Exception:  # whatever a sentence trips over, it must not cost the others
        error = "internal error"
        log.exception("sentence_failed", sentence=index, pairs=pairs)
    metrics.SENTENCES.labels("failed" if error else "covered" if pairs else "without_pair").inc()
    events.put_nowait(SentenceFinished(sentence_index=index, pairs=pairs, error=error))
