"""Turns services into a gRPC server that listens, and that stops by finishing what it has."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lift.serving.addresses import cannot_listen
from lift.serving.calls import Calls

DRAIN_SECONDS = 20.0
STOP_SECONDS = 2.0

OPTIONS: Mapping[str, int] = {
    "grpc.max_receive_message_length": 4 << 20,
    "grpc.max_concurrent_streams": 1024,
    "grpc.max_metadata_size": 16 << 10,
    "grpc.absolute_max_metadata_size": 16 << 10,
    "grpc.max_connection_age_ms": 3_600_000,  # clients reconnect, so that a new gateway gets its share
    "grpc.max_connection_age_grace_ms": 600_000,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.http2.min_recv_ping_interval_without_data_ms": 10_000,
    "grpc.http2.max_ping_strikes": 3,
    "grpc.so_reuseport": 0,  # a second server on the port is an error, not a lottery
}


class GrpcServer:
    """Services behind one interceptor, with health and reflection."""

    def __init__(
        self,
        host: str,
        port: int,
        calls: Calls,
        services: Sequence[str],
        add: Callable[[grpc.aio.Server], None],
        *,
        options: Mapping[str, int] | None = None,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        """`services` are the full names of what `add` adds to the server; `options` go before OPTIONS."""
        self._address = f"{host}:{port}"
        self._calls = calls
        self._services = services
        self._drain_seconds = drain_seconds
        self._server = grpc.aio.server(interceptors=(calls,), options=tuple({**OPTIONS, **(options or {})}.items()))
        self._health = health.aio.HealthServicer()
        add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    async def start(self) -> int:
        """Serves; the port. InvalidOption: the port is taken, or the host is none of this machine."""
        try:
            port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise cannot_listen(self._address) from error
        await self._server.start()
        for service in self._services:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self) -> None:
        """Not serving → no new calls → those under way end → stop: gRPC's own stop would end them."""
        await self._health.enter_graceful_shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                await self._calls.drained()
        await self._server.stop(STOP_SECONDS)
