"""Turns OpenAI's HTTP API (models, chat completions, completions) into questions to a Backend, and its answers back.

Gateway and engine both serve it. A field that would change the answer and that no backend supports is refused with 400
instead of being ignored. One difference from OpenAI: an absent temperature is 0, since a fact has one best answer.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import TypeVar

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from lift import errors
from lift.ids import new_id
from server.http_calls import EventStream, RequestIds, while_connected
from server.openai_answers import CHAT, TEXT, Format, Json, chunks, whole
from server.openai_backend import Backend, Model, Order
from server.openai_errors import error_body
from server.openai_requests import ChatRequest, CompletionRequest, Prompt, SampledRequest

log = structlog.get_logger()

MAX_BODY_BYTES = 4 << 20


def openai_app(backend: Backend) -> FastAPI:
    """The ASGI application in front of one backend."""
    app = FastAPI(title="OpenAI-compatible API", openapi_url=None)
    app.add_middleware(RequestIds)
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
        return await _respond(backend, request, CHAT, await _parsed(request, ChatRequest))

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        await _admit(backend, request)
        return await _respond(backend, request, TEXT, await _parsed(request, CompletionRequest))

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


async def _respond(backend: Backend, request: Request, form: Format, asked: SampledRequest) -> Response:
    head = {"id": new_id(form.prefix), "created": int(time.time()), "model": asked.model}
    orders = [_order(asked, prompt) for prompt in asked.prompts()]
    if asked.stream:
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        return EventStream(chunks(backend, form, {**head, "object": form.chunk_object}, orders, with_usage))
    answer = whole(backend, form, {**head, "object": form.object}, orders)
    body = await while_connected(request.receive, answer)
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


def _listed(models: Sequence[Model]) -> Response:
    return JSONResponse({"object": "list", "data": [_model(model) for model in models]})


def _model(model: Model) -> Json:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


async def _refused(_: Request, error: Exception) -> Response:
    status, body = error_body(error)
    structlog.contextvars.bind_contextvars(reason=body["error"]["code"])  # for the line that says how the call ended
    return JSONResponse(body, status)


async def _failed(_: Request, error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    status, body = error_body(error)
    return JSONResponse(body, status)


async def _not_routed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    kind = {"message": error.detail, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": kind}, error.status_code, headers=error.headers)
