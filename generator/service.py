"""Turns calls of lift.internal.v1.GeneratorService into generations, and their events into messages."""

import asyncio
import hmac
from contextlib import aclosing
from typing import Any

import grpc
import structlog

from generator.generation import PairWritten, Reading, SentenceFinished, SourceText, generate
from generator.llm import Endpoint, Usage
from generator.pairs import Kind, Strategy
from generator.strategies import strategy_of_request
from lift import errors
from lift.ids import new_id
from lift.internal.v1 import generator_pb2 as pb
from lift.internal.v1 import generator_pb2_grpc
from lift.logs import bound
from lift.settings import Settings
from lift.status import abort

log = structlog.get_logger()

MAX_DOCUMENTS = 10_000
_KINDS = {
    Kind.WRITTEN: pb.Pair.KIND_WRITTEN,
    Kind.GROUNDED: pb.Pair.KIND_GROUNDED,
    Kind.CLOZE: pb.Pair.KIND_CLOZE,
    Kind.INVERTED: pb.Pair.KIND_INVERTED,
    Kind.RAW: pb.Pair.KIND_RAW,
    Kind.SECTION: pb.Pair.KIND_SECTION,
}


class GeneratorServicer(generator_pb2_grpc.GeneratorServiceServicer):
    """Serves one endpoint's questions to callers that know the node token (anybody where it is empty)."""

    def __init__(self, *, settings: Settings, endpoint: Endpoint) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._streams = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def drained(self) -> None:
        """Refuses new streams and waits until the last one has ended."""
        self._draining = True
        await self._idle.wait()

    async def Generate(  # type: ignore[override]  # writes instead of yielding: a cancelled call unwinds at once
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext[pb.GenerateRequest, pb.GenerateResponse]
    ) -> None:
        """Streams the plan, pairs and outcomes, and the coverage."""
        call = new_id("generation")
        self._streams += 1
        self._idle.clear()
        try:
            with bound(request=call):
                await self._generate(request, context)
        except errors.LiftError as error:
            log.warning("generation_refused", reason=error.reason(), generation=call)
            await abort(context, error)
        except Exception:  # the table's last line: unknown exceptions are logged, never quoted
            log.exception("generation_failed", generation=call)
            await abort(context, errors.InternalError(request=call))
        finally:
            self._streams -= 1
            if not self._streams:
                self._idle.set()

    async def _generate(self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        _check_token(context, self._settings.node_token.get_secret_value())
        if self._draining:
            raise errors.GeneratorUnavailable(cause="stopping")
        strategy = strategy_of_request(request, endpoint=self._endpoint, default=self._settings.generator.strategy)
        reading = await asyncio.to_thread(_reading, request, self._settings.generator.window_characters)
        todo = _todo(request, len(reading.plan))
        log.info("generation_started", sentences=len(reading.plan), todo=len(todo), strategy=strategy.name)
        await context.write(_plan(reading))
        coverage = await self._write_pairs(context, reading, todo, strategy)
        await context.write(pb.GenerateResponse(coverage=coverage))
        log.info("generation_finished", pairs=coverage.pairs, covered=coverage.covered, failed=coverage.failed)

    async def _write_pairs(
        self, context: grpc.aio.ServicerContext[Any, Any], reading: Reading, todo: list[int], strategy: Strategy
    ) -> pb.Coverage:
        coverage, usage = pb.Coverage(sentences=len(todo)), Usage()
        async with aclosing(generate(reading, todo, strategy, usage)) as events:
            async for event in events:
                await context.write(_event(event))
                if isinstance(event, SentenceFinished):
                    _count(coverage, event)
        coverage.prompt_tokens, coverage.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        return coverage


def _check_token(context: grpc.aio.ServicerContext[Any, Any], token: str) -> None:
    if not token:
        return
    sent = dict(context.invocation_metadata() or ()).get("authorization", "")
    if not sent:
        raise errors.CredentialMissing()
    if not hmac.compare_digest(str(sent).encode(), f"Bearer {token}".encode()):
        raise errors.CredentialWrong()


def _reading(request: pb.GenerateRequest, window_characters: int) -> Reading:
    if not request.documents or len(request.documents) > MAX_DOCUMENTS:
        raise errors.InvalidOption(field="documents", count=len(request.documents), maximum=MAX_DOCUMENTS)
    documents = [SourceText(title=document.title, text=document.text) for document in request.documents]
    return Reading(documents, window_characters)


def _todo(request: pb.GenerateRequest, sentences: int) -> list[int]:
    done = set(request.done_sentences)
    if done and (min(done) < 0 or max(done) >= sentences):
        raise errors.InvalidOption(field="done_sentences", sentences=sentences)
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
            question=pair.question, answer=pair.answer, sentence_index=event.sentence_index, kind=_KINDS[pair.kind]
        )
    )


def _count(coverage: pb.Coverage, finished: SentenceFinished) -> None:
    coverage.covered += finished.pairs > 0
    coverage.failed += bool(finished.error)
    coverage.pairs += finished.pairs
