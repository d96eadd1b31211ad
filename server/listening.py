"""Turns an ASGI application into a server that listens, and that stops by finishing what it has."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from lift.serving.addresses import cannot_listen
from lift.serving.grpc_server import DRAIN_SECONDS
from server.http_heads import TimedHeads

MAX_HEADER_BYTES = 64 << 10
MAX_HTTP_CONNECTIONS = 2048
"""More than the queries that a gateway lets in by default; each may hold MAX_HEADER_BYTES before its key is known."""


class HttpServer(uvicorn.Server):
    """An ASGI application. Signals are left alone: a process has one place for them."""

    def __init__(self, host: str, port: int, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                http=TimedHeads,  # by h11: httptools, which uvicorn prefers, takes headers without end
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                limit_concurrency=MAX_HTTP_CONNECTIONS,
                timeout_graceful_shutdown=int(DRAIN_SECONDS),
            )
        )
        self._address = (host, port)
        self._serving: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """No signal is caught."""
        yield

    async def start(self) -> int:
        """Serves; the port. InvalidOption: the port is taken, or the host is none of this machine."""
        try:
            listening = socket.create_server(self._address)
        except OSError as error:
            raise cannot_listen("{}:{}".format(*self._address)) from error
        self._serving = asyncio.create_task(self.serve([listening]))
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """No new requests → those under way end → stop."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving
