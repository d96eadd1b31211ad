"""Turns settings into a running gRPC server with health and reflection, and a signal into its orderly stop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from generator.llm import Endpoint
from generator.service import GeneratorServicer
from lift.internal.v1 import generator_pb2, generator_pb2_grpc
from lift.limits import MAX_GENERATION_BYTES
from lift.settings import Settings

log = structlog.get_logger()

DRAIN_SECONDS = 10.0  # a stream that is cut off is resumed by its job, from the journal
NAME = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].full_name
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_GENERATION_BYTES),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then lets streams end for DRAIN_SECONDS."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with running(settings):
        await stop.wait()
        log.info("generator_stopping")
    log.info("generator_stopped")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """A serving generator; yields its port (settings.generator.port 0 means any). Leaving drains and stops it."""
    server = grpc.aio.server(options=_OPTIONS)
    statuses = health.aio.HealthServicer()
    async with Endpoint(settings.generator) as endpoint:
        servicer = GeneratorServicer(settings=settings, endpoint=endpoint)
        generator_pb2_grpc.add_GeneratorServiceServicer_to_server(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
        reflection.enable_server_reflection((NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        port = server.add_insecure_port(f"{settings.generator.host}:{settings.generator.port}")
        await server.start()
        for name in ("", NAME):
            await statuses.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("generator_started", port=port, strategy=settings.generator.strategy, model=settings.generator.model)
        try:
            yield port
        finally:
            await statuses.enter_graceful_shutdown()
            with suppress(TimeoutError):
                await asyncio.wait_for(servicer.drained(), DRAIN_SECONDS)
            await server.stop(grace=0)
