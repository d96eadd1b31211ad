"""Turns services into servers that listen, and that stop by finishing what they have."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import grpc
import structlog
import uvicorn
from fastapi import FastAPI
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.calls import Calls
from server.http_heads import TimedHeads

log = structlog.get_logger()

DRAIN_SECONDS = 20.0
STOP_SECONDS = 2.0
MAX_HEADER_BYTES = 64 << 10
MAX_HTTP_CONNECTIONS = 2048
"""More than the queries that a gateway lets in by default; each may hold MAX_HEADER_BYTES before its key is known."""

GRPC_OPTIONS = (
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_concurrent_streams", 1024),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.absolute_max_metadata_size", 16 << 10),
    ("grpc.max_connection_age_ms", 3_600_000),  # clients reconnect, so that a new gateway gets its share
    ("grpc.max_connection_age_grace_ms", 600_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.so_reuseport", 0),  # a second gateway on the port is an error, not a lottery
)


class GrpcServer:
    """Services behind one interceptor, with health and reflection."""

    def __init__(
        self, host: str, port: int, calls: Calls, services: Sequence[str], add: Callable[[grpc.aio.Server], None]
    ) -> None:
        """`services` are the full names of what `add` adds to the server."""
        self._address = f"{host}:{port}"
        self._calls = calls
        self._services = services
        self._server = grpc.aio.server(interceptors=(calls,), options=GRPC_OPTIONS)
        self._health = health.aio.HealthServicer()
        add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    async def start(self) -> int:
        """Serves; the port. RuntimeError: the port is taken."""
        port = self._server.add_insecure_port(self._address)
        await self._server.start()
        for service in self._services:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self) -> None:
        """Not serving → no new calls → those under way end → stop: gRPC's own stop would end them."""
        await self._health.enter_graceful_shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._calls.drained()
        await self._server.stop(STOP_SECONDS)


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
        """Serves; the port. OSError: the port is taken."""
        listening = socket.create_server(self._address)
        self._serving = asyncio.create_task(self.serve([listening]))
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """No new requests → those under way end → stop."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving
