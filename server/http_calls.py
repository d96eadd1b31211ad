"""What HTTP calls need besides their answers: ids, streams of events, and an end where the client leaves."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Literal, TypeVar

import structlog
from prometheus_client import Histogram
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lift.errors import LiftError
from lift.ids import new_id
from lift.logs import bound
from lift.serving.metrics import SECONDS
from server.openai_errors import error_body

log = structlog.get_logger()

T = TypeVar("T")

REQUEST_SECONDS = Histogram(
    "lift_http_request_seconds",
    "Requests by route, which is empty where there is none, and status; 499: the client left first.",
    ["route", "status"],
    buckets=SECONDS,
)


class EventStream(Response):
    """Chunks as server-sent events. The status is open until the first one, so that an early error is a proper one."""

    def __init__(self, chunks: AsyncGenerator[Mapping[str, Any]]) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self._send(send))

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
            if not isinstance(error, LiftError):
                log.exception("answer_failed")
            await send(_event(json.dumps(error_body(error)[1])))
        await send(_event("[DONE]"))
        await send({"type": "http.response.body", "body": b""})
        return True


def _event(data: str) -> Message:
    return {"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True}


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
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


class RequestIds:
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
            except Exception:
                status = 500  # which is answered further out
                raise
            finally:
                seconds = time.monotonic() - began
                REQUEST_SECONDS.labels(getattr(scope.get("route"), "path", ""), status).observe(seconds)
                log.info("request_ended", path=scope["path"][:200], status=status, seconds=round(seconds, 4))
