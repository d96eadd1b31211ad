"""Turns a tenant's question into an answer, piece by piece: checked, resolved to a revision, admitted, then routed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from lift import errors
from lift.ids import name_of
from lift.internal.v1 import engine_pb2 as pb
from lift.limits import MAX_TURNS
from lift.settings import GatewaySettings
from lift.values import AdapterState
from server.gateway import metrics
from server.gateway.admission import Admission
from server.gateway.contexts import NO_CONTEXT, Contexts
from server.gateway.evidence import Evidence, Witness
from server.gateway.places import Places
from server.gateway.routing import Router
from server.pieces import End, Piece, Token
from server.sampling import check_sampling
from storage.catalogue import Catalogue
from storage.records import Adapter, RevisionRef, Tenant
from storage.refs import of_message, to_message

UNREAD_PIECES = 16
MAX_EVIDENCE = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a tenant asks. `adapter` None is the base model, `revision` None the current one (a digest otherwise).

    `prompt` is raw text to go on from, or (role, content) turns. `max_tokens` None means the server's default.
    `logprobs` asks for tokens, each with so many of the likeliest; `echo` for the raw prompt before the answer.
    """

    adapter: str | None
    revision: str | None = None
    prompt: str | tuple[tuple[str, str], ...]
    with_documents: bool = False
    max_evidence: int = 0
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    echo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(End):
    """The facts of a finished answer. Seconds count from the moment the gateway had the question.

    What is out of scope has no evidence.
    """

    adapter: str | None
    revision: str | None
    first_token_seconds: float
    total_seconds: float
    evidence: tuple[Evidence, ...] = ()


_Unread: TypeAlias = asyncio.Queue[Piece | Answered | Exception | None]


class Answers:
    """Writes answers for any tenant."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        router: Router,
        admission: Admission,
        contexts: Contexts,
        witness: Witness,
        limits: GatewaySettings,
    ) -> None:
        self._catalogue = catalogue
        self._router = router
        self._admission = admission
        self._contexts = contexts
        self._witness = witness
        self._limits = limits
        self._places = Places("max_concurrent_queries")

    async def answer(self, tenant: Tenant, question: Question) -> AsyncGenerator[Piece | Answered]:
        """Pieces as they are written, then the facts. Once the time is over nothing is held, whoever reads or does not.

        QuestionEmpty, QuestionTooLong, InvalidOption, AdapterMissing, AdapterTraining, AdapterFailed, AdapterDeleting,
        RevisionMissing, QuotaExceeded, QueueFull, EngineUnavailable, SlotsFull, TimedOut.
        """
        unread: _Unread = asyncio.Queue(UNREAD_PIECES)
        writing = asyncio.create_task(self._write(tenant, question, unread))
        try:
            while (piece := await unread.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            writing.cancel()
            await asyncio.wait([writing])

    async def _write(self, tenant: Tenant, question: Question, unread: _Unread) -> None:
        """Puts the pieces there, and behind them None or the error with which they end.

        In a task of its own: a time limit around the caller's reading would end the caller instead of the answer.
        """
        limit = self._limits.query_timeout_seconds
        end: Exception | None = None
        try:
            async with asyncio.timeout(limit), aclosing(self._answer(tenant, question)) as pieces:
                async for piece in pieces:
                    await unread.put(piece)
        except TimeoutError:
            end = errors.TimedOut(limit_seconds=limit)
        except Exception as error:  # raised where the pieces are read
            end = error
            if isinstance(error, errors.Exhausted):
                metrics.REFUSED.labels(error.reason()).inc()
        await unread.put(end)

    async def _answer(self, tenant: Tenant, question: Question) -> AsyncGenerator[Piece | Answered]:
        began = time.monotonic()
        first: float | None = None
        text = ""
        end: pb.AnswerEnd | None = None
        self._check(question)
        with self._places.held_by(tenant.id, tenant.quotas.max_concurrent_queries):
            request, documents = await asyncio.to_thread(self._resolved, tenant, question)
            async with aclosing(self._messages(request, documents)) as messages:
                async for message in messages:
                    if message.delta or message.tokens:
                        first = first or time.monotonic()
                        text += message.delta
                        yield _piece(message)
                    if message.HasField("end"):
                        end = message.end
            if end is None:
                raise errors.EngineUnavailable()
            ended = time.monotonic()
            wants_evidence = question.max_evidence > 0 and not end.out_of_scope
            evidence = await self._evidence(request, question, text) if wants_evidence else ()
        first_token_seconds = (first or ended) - began
        metrics.FIRST_TOKEN_SECONDS.observe(first_token_seconds)
        metrics.TOKENS.labels("prompt").inc(end.prompt_tokens)
        metrics.TOKENS.labels("completion").inc(end.completion_tokens)
        yield Answered(
            adapter=question.adapter,
            revision=request.revision.digest or None,
            finish_reason=end.finish_reason,
            prompt_tokens=end.prompt_tokens,
            completion_tokens=end.completion_tokens,
            first_token_seconds=first_token_seconds,
            total_seconds=ended - began,
            out_of_scope=end.out_of_scope,
            context_truncated=end.context_truncated,
            evidence=evidence,
        )

    async def _messages(self, request: pb.AnswerRequest, documents: Sequence[str]) -> AsyncGenerator[pb.AnswerResponse]:
        """An engine's, asked with the text of the documents, within the tenant's share of what runs at once."""
        async with self._admission.admitted(request.tenant, await self._room()):
            context = await self._contexts.context(request.tenant, documents) if documents else NO_CONTEXT
            request.context = context.text
            async with aclosing(self._router.answer(request)) as messages:
                async for message in messages:
                    if context.truncated and message.HasField("end"):
                        message.end.context_truncated = True
                    yield message

    async def _room(self) -> int:
        """So many queries may be at the engines: more would wait there in one line, in which no tenant has a turn.

        Where no engine can be asked, all may go on at once and hear so.
        """
        limit = self._limits.max_concurrent_queries
        return min(await self._router.answers_at_once() or limit, limit)

    async def _evidence(self, request: pb.AnswerRequest, question: Question, answer: str) -> tuple[Evidence, ...]:
        """None where the store is away: the answer is there already."""
        ref = of_message(request.revision)
        last = question.prompt if isinstance(question.prompt, str) else question.prompt[-1][1]
        try:
            return await self._witness.evidence(ref, last, answer, question.max_evidence)
        except errors.StoreUnavailable as error:
            log.warning("evidence_not_found", error=str(error))
            return ()

    def _check(self, question: Question) -> None:
        check_sampling(question.temperature, question.top_p, question.stop)
        least, limit = 0 if question.echo else 1, self._limits.max_tokens
        if question.max_tokens is not None and not least <= question.max_tokens <= limit:
            expected = f"from {least} to {limit}"
            raise errors.InvalidOption(option="max_tokens", value=question.max_tokens, expected=expected)
        if not 0 <= question.max_evidence <= MAX_EVIDENCE:
            expected = f"from 0 to {MAX_EVIDENCE}"
            raise errors.InvalidOption(option="max_evidence", value=question.max_evidence, expected=expected)
        if question.adapter is None and (question.revision or question.with_documents or question.max_evidence):
            raise errors.InvalidOption(option="adapter", expected="one, since its revision or its documents are wanted")
        turns = (("user", question.prompt),) if isinstance(question.prompt, str) else question.prompt
        if len(turns) > MAX_TURNS:
            raise errors.InvalidOption(option="messages", value=len(turns), expected=f"at most {MAX_TURNS} turns")
        characters = sum(len(content) for _, content in turns)
        if characters > self._limits.max_question_characters:
            raise errors.QuestionTooLong(characters=characters, limit=self._limits.max_question_characters)
        if not turns or not turns[-1][1].strip():
            raise errors.QuestionEmpty()
        if turns[-1][0] != "user":
            raise errors.InvalidOption(option="messages", expected="a last turn of the user's")

    def _resolved(self, tenant: Tenant, question: Question) -> tuple[pb.AnswerRequest, Sequence[str]]:
        """The engine's request with the revision that the catalogue gives, and the documents to put into its prompt."""
        default = min(self._limits.default_max_tokens, self._limits.max_tokens)
        request = pb.AnswerRequest(
            tenant=tenant.id,
            max_tokens=default if question.max_tokens is None else question.max_tokens,
            temperature=question.temperature,
            top_p=question.top_p,
            stop=question.stop,
            logprobs=question.logprobs,
            echo=question.echo,
        )
        if isinstance(question.prompt, str):
            request.prompt = question.prompt
        else:
            request.turns.extend(pb.Turn(role=role, content=content) for role, content in question.prompt)
        documents: Sequence[str] = ()
        if question.adapter is not None:
            wanted = question.with_documents
            adapter = self._catalogue.adapters.get(tenant.id, question.adapter, with_documents=wanted)
            digest = current_digest(adapter)
            if question.revision is not None:
                pinned = RevisionRef(tenant=tenant.id, adapter=adapter.id, digest=question.revision)
                digest = self._catalogue.revisions.get(pinned).ref.digest
            request.revision.CopyFrom(to_message(RevisionRef(tenant=tenant.id, adapter=adapter.id, digest=digest)))
            documents = adapter.documents
        return request, documents


def current_digest(adapter: Adapter) -> str:
    """The digest of the revision that answers. AdapterTraining, AdapterFailed, AdapterDeleting."""
    name, operation = name_of("adapters", adapter.id), name_of("operations", adapter.job)
    if adapter.state is AdapterState.DELETING:
        raise errors.AdapterDeleting(adapter=name, operation=operation)
    if adapter.current_revision is None:
        failed = adapter.state is AdapterState.FAILED
        raise (errors.AdapterFailed if failed else errors.AdapterTraining)(adapter=name, operation=operation)
    return adapter.current_revision


def _piece(message: pb.AnswerResponse) -> Piece:
    return Piece(text=message.delta, tokens=tuple(map(_token, message.tokens)))


def _token(message: pb.Token) -> Token:
    logprob = message.logprob if message.HasField("logprob") else None
    return Token(text=message.text, logprob=logprob, top=dict(message.top))
