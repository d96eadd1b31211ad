"""Wraps every gRPC call in what all of them need: an id, a caller, a deadline, and errors as statuses."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import grpc
import structlog
from grpc_status import rpc_status
from prometheus_client import Histogram

from lift import status
from lift.errors import InternalError, InvalidOption, LiftError, TimedOut, Unavailable
from lift.ids import new_id
from lift.logs import bound
from lift.serving.metrics import SECONDS

log = structlog.get_logger()

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Metadata: TypeAlias = tuple[tuple[str, str], ...]
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

REQUEST_ID = "x-request-id"
DEADLINE_SECONDS = 60.0
"""What a call may take, its request's way included, whatever its client says, where its server gives it no other."""

CALL_SECONDS = Histogram(
    "lift_grpc_call_seconds", "Calls by method and the status they ended with.", ["method", "code"], buckets=SECONDS
)

OPEN_SERVICES = ("/grpc.health.", "/grpc.reflection.")


class Calls(grpc.aio.ServerInterceptor):
    """Admits each call by its authorization (health and reflection need none), and counts those under way."""

    def __init__(
        self,
        admit: Callable[[str], Awaitable[None]],
        *,
        stopping: type[Unavailable],
        deadlines_seconds: Mapping[str, float | None],
        resumable: Container[str] = (),
    ) -> None:
        """`stopping`: what a call is refused with from `drained` on.

        `deadlines_seconds`: of methods that may take another time than DEADLINE_SECONDS; None sets no limit.
        `resumable`: methods that a client picks up again elsewhere without loss; `drained` does not wait for them.
        """
        self._admit = admit
        self._stopping = stopping
        self._deadlines_seconds = deadlines_seconds
        self._resumable = resumable
        self._refusing = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """The method's own behaviour, inside `_around`."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN_SERVICES):
            return handler
        return self._wrapped(handler, handler_call_details)

    async def drained(self) -> None:
        """Refuses new calls from now on; returns once none is under way that would lose something."""
        self._refusing = True
        await self._idle.wait()

    def _wrapped(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """As if every method took a stream: gRPC reads nothing of such a request before the call is admitted."""
        inner: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

        async def unary(requests: AsyncIterator[Any], context: Any) -> Any:
            async with self._around(details, context) as head:
                response = await inner(requests if handler.request_streaming else await _only(requests), context)
                await context.send_initial_metadata(head)
                return response

        async def stream(requests: AsyncIterator[Any], context: Any) -> None:
            # Written, not yielded: a client that leaves then interrupts this very task, wherever it is, and all that is
            # held inside is let go of at once.
            async with self._around(details, context) as head:
                request = requests if handler.request_streaming else await _only(requests)
                async with aclosing(inner(request, context)) as responses:
                    sent = False
                    async for response in responses:
                        if not sent:
                            await context.send_initial_metadata(head)
                            sent = True
                        await context.write(response)
                if not sent:
                    await context.send_initial_metadata(head)

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)

    @asynccontextmanager
    async def _around(self, details: grpc.HandlerCallDetails, context: Any) -> AsyncIterator[Metadata]:
        """Gives the metadata to send before the first response, and not sooner: no client may retry what has begun."""
        method = details.method.rsplit("/", 1)[-1]
        request, began = new_id("request"), time.monotonic()
        code, why = grpc.StatusCode.CANCELLED, {}
        with bound(request=request), self._counted(method):
            metadata = ((REQUEST_ID, request),)
            context.set_trailing_metadata(metadata)
            try:
                async with asyncio.timeout(self._deadlines_seconds.get(method, DEADLINE_SECONDS)) as limit:
                    if self._refusing:
                        raise self._stopping()
                    await self._admit(_authorization(details))
                    yield metadata
                code = grpc.StatusCode.OK
            except Exception as error:  # the one place where errors meet gRPC
                known = _known(error, request, timed_out=limit.expired())
                code, why = status.code_of(known), {"reason": known.reason()}
                failed = rpc_status.to_status(status.to_proto(known))
                await context.abort(failed.code, failed.details, (*failed.trailing_metadata, *metadata))
            finally:
                seconds = time.monotonic() - began
                CALL_SECONDS.labels(method, code.name).observe(seconds)
                log.info("call_ended", method=method, code=code.name, seconds=round(seconds, 4), **why)

    @contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        if method in self._resumable:
            yield
            return
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()


async def _only(requests: AsyncIterator[Any]) -> Any:
    """The request of a method that takes one. InvalidOption: there is none."""
    request = await anext(aiter(requests), None)
    if request is None:
        raise InvalidOption(option="request", expected="one message")
    return request


def _authorization(details: grpc.HandlerCallDetails) -> str:
    return next((str(value) for name, value in details.invocation_metadata if name == "authorization"), "")


def _known(error: Exception, request: str, *, timed_out: bool) -> LiftError:
    """The error to show. One that is not ours is logged with the request's id and never quoted."""
    if isinstance(error, LiftError):
        return error
    if isinstance(error, TimeoutError) and timed_out:
        return TimedOut()
    log.error("call_failed", exc_info=error)
    return InternalError(request=request)
