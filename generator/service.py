"""Turns calls of lift.internal.v1.GeneratorService into generations, and their events into messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import structlog

from generator import metrics
from generator.generation import PairWritten, Reading, SentenceFinished, SourceText, generate
from generator.llm import Endpoint, Usage
from generator.strategies import strategy_of_request
from lift import errors
from lift.internal.v1 import generator_pb2 as pb
from lift.internal.v1 import generator_pb2_grpc
from lift.settings import GeneratorSettings

log = structlog.get_logger()

MAX_DOCUMENTS = 10_000


class GeneratorServicer(generator_pb2_grpc.GeneratorServiceServicer):
    """Serves one endpoint's questions; errors become statuses in `lift.serving.calls`."""

    def __init__(self, settings: GeneratorSettings, endpoint: Endpoint) -> None:
        self._settings = settings
        self._endpoint = endpoint

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> AsyncIterator[pb.GenerateResponse]:  # noqa: ARG002
        """Streams the plan, pairs and outcomes, and the coverage."""
        strategy = strategy_of_request(request, endpoint=self._endpoint, default=self._settings.strategy)
        reading = await asyncio.to_thread(_reading, request, self._settings.window_characters)
        todo = _todo(request, len(reading.plan))
        log.info("generation_started", sentences=len(reading.plan), todo=len(todo), strategy=strategy.name)
        yield _plan(reading)
        coverage, usage = pb.Coverage(sentences=len(todo)), Usage()
        metrics.DOCUMENTS.inc(len(request.documents))
        try:
            async with aclosing(generate(reading, todo, strategy, usage)) as events:
                async for event in events:
                    yield _event(event)
                    if isinstance(event, SentenceFinished):
                        _count(coverage, event)
        finally:
            metrics.DOCUMENTS.dec(len(request.documents))
        coverage.prompt_tokens, coverage.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        yield pb.GenerateResponse(coverage=coverage)
        log.info("generation_finished", pairs=coverage.pairs, covered=coverage.covered, failed=coverage.failed)


def _reading(request: pb.GenerateRequest, window_characters: int) -> Reading:
    if not request.documents or len(request.documents) > MAX_DOCUMENTS:
        expected = f"from 1 to {MAX_DOCUMENTS}"
        raise errors.InvalidOption(option="documents", value=len(request.documents), expected=expected)
    documents = [SourceText(title=document.title, text=document.text) for document in request.documents]
    return Reading(documents, window_characters)


def _todo(request: pb.GenerateRequest, sentences: int) -> list[int]:
    done = set(request.done_sentences)
    if done and (min(done) < 0 or max(done) >= sentences):
        raise errors.InvalidOption(option="done_sentences", expected=f"indices below {sentences}")
    return [index for index in range(sentences) if index not in done]


def _plan(reading: Reading) -> pb.GenerateResponse:
    sentences = [
        pb.Sentence(document=sentence.document, start=sentence.place.start, end=sentence.place.end)
        for sentence in reading.plan
    ]
    return pb.GenerateResponse(plan=pb.Plan(sentences=sentences))


def _event(event: PairWritten | SentenceFinished) -> pb.GenerateResponse:
    if isinstance(event, SentenceFinished):
        outcome = pb.SentenceOutcome(sentence_index=event.sentence_index, pairs=event.pairs, error=event.error)
        return pb.GenerateResponse(outcome=outcome)
    pair = event.pair
    return pb.GenerateResponse(
        pair=pb.Pair(
            question=pair.question, answer=pair.answer, sentence_index=event.sentence_index, kind=pair.kind.to_message()
        )
    )


def _count(coverage: pb.Coverage, finished: SentenceFinished) -> None:
    coverage.covered += finished.pairs > 0
    coverage.failed += bool(finished.error)
    coverage.pairs += finished.pairs
