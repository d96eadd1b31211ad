"""Turns OpenAI's HTTP API (models, chat completions, completions) into questions to a Backend, and its answers back.

Gateway and engine both serve it. A field that would change the answer and that no backend supports is refused with 400
instead of being ignored. One difference from OpenAI: an absent temperature is 0, since a fact has one best answer.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lift import errors
from lift.ids import new_id
from lift.logs import bound
from server.openai_errors import error_body
from server.openai_requests import ChatRequest, CompletionRequest, Prompt, SampledRequest
from server.pieces import Piece, Token

log = structlog.get_logger()

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]

MAX_BODY_BYTES = 4 << 20
PROMPTS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a caller can name as `model`."""

    id: str
    created: int
    owned_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One answer to write; `max_tokens` None leaves the number to the backend.

    `logprobs` asks for tokens, each with so many of the likeliest; `echo` for the prompt before the answer.
    """

    model: str
    prompt: Prompt
    max_tokens: int | None
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    logprobs: int | None
    echo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an answer ended (stop or length) and what it cost, in tokens."""

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Backend(Protocol):
    """What answers. Its methods raise errors of `lift.errors`; an answer that is closed stops being written."""

    async def admit(self, authorization: str) -> None:
        """Lets a caller in, for whom the present task is from now on. CredentialMissing, CredentialWrong."""
        ...

    async def models(self) -> Sequence[Model]:
        """What the caller can ask now."""
        ...

    async def model(self, model: str) -> Model:
        """One of them. NotFound."""
        ...

    def answers_at_once(self) -> int:
        """So many the caller may have at once; 0 means as many as there is room for."""
        ...

    def answer(self, order: Order) -> AsyncGenerator[Piece | End]:
        """Pieces as they are written, then one End."""
        ...


def openai_app(backend: Backend) -> FastAPI:
    """The ASGI application in front of one backend."""
    app = FastAPI(title="OpenAI-compatible API", openapi_url=None)
    app.add_middleware(_RequestIds)
    app.add_exception_handler(errors.LiftError, _refused)
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(Exception, _failed)

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        await _admit(backend, request)
        found = await backend.models()
        return await asyncio.to_thread(_listed, found)  # there may be so many that the loop would stand still

    @app.get("/v1/models/{model:path}")
    async def model(request: Request, model: str) -> Json:
        await _admit(backend, request)
        return _model(await backend.model(model))

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        await _admit(backend, request)
        return await _respond(backend, request, _CHAT, await _parsed(request, ChatRequest))

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        await _admit(backend, request)
        return await _respond(backend, request, _TEXT, await _parsed(request, CompletionRequest))

    return app


Body = TypeVar("Body", bound=SampledRequest)


async def _parsed(request: Request, kind: type[Body]) -> Body:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    try:
        body = kind.model_validate_json(bytes(content))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "body"
        raise errors.InvalidOption(option=field, expected=first["msg"]) from error
    body.check()
    return body


async def _admit(backend: Backend, request: Request) -> None:
    await backend.admit(request.headers.get("authorization", ""))


# Answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """How one endpoint writes an answer: whole, in pieces, and what comes before the first piece."""

    prefix: str
    object: str
    chunk_object: str
    whole: Callable[[str], Json]
    piece: Callable[[str], Json]
    opening: Json | None


_CHAT = _Format(
    prefix="chatcmpl",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
    whole=lambda text: {"message": {"role": "assistant", "content": text}},
    piece=lambda text: {"delta": {"content": text} if text else {}},
    opening={"delta": {"role": "assistant", "content": ""}},
)
_TEXT = _Format(
    prefix="cmpl",
    object="text_completion",
    chunk_object="text_completion",
    whole=lambda text: {"text": text},
    piece=lambda text: {"text": text},
    opening=None,
)


async def _respond(backend: Backend, request: Request, form: _Format, asked: SampledRequest) -> Response:
    head = {"id": new_id(form.prefix), "created": int(time.time()), "model": asked.model}
    orders = [_order(asked, prompt) for prompt in asked.prompts()]
    if asked.stream:
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        return _EventStream(_chunks(backend, form, {**head, "object": form.chunk_object}, orders, with_usage))
    whole = _whole(backend, form, {**head, "object": form.object}, orders)
    body = await _while_connected(request.receive, whole)
    return Response(status_code=499) if body is None else JSONResponse(body)


def _order(asked: SampledRequest, prompt: Prompt) -> Order:
    return Order(
        model=asked.model,
        prompt=prompt,
        max_tokens=asked.answer_tokens(),
        temperature=asked.temperature or 0.0,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        stop=tuple(asked.stop),
        logprobs=asked.likeliest(),
        echo=asked.echoes(),
    )


async def _whole(backend: Backend, form: _Format, head: Json, orders: Sequence[Order]) -> Json:
    room = asyncio.Semaphore(min(PROMPTS_AT_ONCE, backend.answers_at_once() or PROMPTS_AT_ONCE))

    async def one(order: Order) -> tuple[Piece, End]:
        async with room:
            return await _collected(backend.answer(order))

    try:
        async with asyncio.TaskGroup() as group:
            answering = [group.create_task(one(order)) for order in orders]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    answers = [task.result() for task in answering]
    choices = [
        _choice(index, form.whole(answer.text), _logprobs(order, answer.tokens), end.finish_reason)
        for index, (order, (answer, end)) in enumerate(zip(orders, answers, strict=True))
    ]
    return {**head, "choices": choices, "usage": _usage([end for _, end in answers])}


async def _collected(pieces: AsyncGenerator[Piece | End]) -> tuple[Piece, End]:
    texts: list[str] = []
    tokens: list[Token] = []
    end: End | None = None
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, End):
                end = piece
            else:
                texts.append(piece.text)
                tokens += piece.tokens
    if end is None:
        raise errors.InternalError()
    return Piece(text="".join(texts), tokens=tuple(tokens)), end


async def _chunks(
    backend: Backend, form: _Format, head: Json, orders: Sequence[Order], with_usage: bool
) -> AsyncGenerator[Json]:
    nothing_yet: Json = {"usage": None} if with_usage else {}
    ends: list[End] = []

    def chunk(index: int, content: Json, logprobs: Json | None = None, finish_reason: str | None = None) -> Json:
        return {**head, "choices": [_choice(index, content, logprobs, finish_reason)], **nothing_yet}

    for index, order in enumerate(orders):
        opening, offset = form.opening, 0
        async with aclosing(backend.answer(order)) as pieces:
            async for piece in pieces:
                if opening:
                    yield chunk(index, opening)
                    opening = None
                if isinstance(piece, End):
                    ends.append(piece)
                    yield chunk(index, form.piece(""), finish_reason=piece.finish_reason)
                elif piece.text or piece.tokens:
                    yield chunk(index, form.piece(piece.text), _logprobs(order, piece.tokens, offset))
                    offset += sum(len(token.text) for token in piece.tokens)
    if with_usage:
        yield {**head, "choices": [], "usage": _usage(ends)}


def _choice(index: int, content: Json, logprobs: Json | None, finish_reason: str | None) -> Json:
    return {"index": index, **content, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(order: Order, tokens: Sequence[Token], offset: int = 0) -> Json | None:
    """Tokens as OpenAI's completions list them; `offset` is where the first of them begins in the text."""
    if order.logprobs is None:
        return None
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [dict(token.top) or None for token in tokens],
        "text_offset": list(accumulate((len(token.text) for token in tokens), initial=offset))[:-1],
    }


class _EventStream(Response):
    """Chunks as server-sent events. The status is open until the first one, so that an early error is a proper one."""

    def __init__(self, chunks: AsyncGenerator[Json]) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> Literal[True]:
        started = False
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                        started = True
                    await send(_event(json.dumps(chunk, separators=(",", ":"), ensure_ascii=False)))
        except Exception as error:  # a stream that has begun can only say it in the stream
            if not started:
                raise
            if not isinstance(error, errors.LiftError):
                log.exception("answer_failed")
            await send(_event(json.dumps(error_body(error)[1])))
        await send(_event("[DONE]"))
        await send({"type": "http.response.body", "body": b""})
        return True


def _event(data: str) -> Message:
    return {"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True}


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of the work; None where the client left first, and then the work is cancelled."""

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(left())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
    if working.cancelled():
        log.info("client_left")
        return None
    return working.result()


def _usage(ends: Sequence[End]) -> Json:
    prompt, completion = sum(end.prompt_tokens for end in ends), sum(end.completion_tokens for end in ends)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _listed(models: Sequence[Model]) -> Response:
    return JSONResponse({"object": "list", "data": [_model(model) for model in models]})


def _model(model: Model) -> Json:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


async def _refused(_: Request, error: Exception) -> Response:
    status, body = error_body(error)
    return JSONResponse(body, status)


async def _failed(_: Request, error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    status, body = error_body(error)
    return JSONResponse(body, status)


async def _not_routed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    kind = {"message": error.detail, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": kind}, error.status_code, headers=error.headers)


class _RequestIds:
    """Gives every request an id, bound to its log lines and sent back as x-request-id; logs how it ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, began, status = new_id("request"), time.monotonic(), 499

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request.encode())]
            await send(message)

        with bound(request=request):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                seconds = round(time.monotonic() - began, 4)
                log.info("request_ended", path=scope["path"][:200], status=status, seconds=seconds)
