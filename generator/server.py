"""Turns settings into a running gRPC server, and a signal into its orderly stop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog

from generator.llm import Endpoint
from generator.service import GeneratorServicer
from lift.errors import GeneratorUnavailable
from lift.internal.v1 import generator_pb2, generator_pb2_grpc
from lift.limits import MAX_GENERATION_BYTES
from lift.serving.calls import Calls
from lift.serving.grpc_server import GrpcServer
from lift.serving.metrics import serving_metrics
from lift.serving.node_token import NodeToken
from lift.settings import Settings

log = structlog.get_logger()

DRAIN_SECONDS = 10.0  # a stream that is cut off is resumed by its job, from the journal
DEADLINES_SECONDS = {"Generate": None}  # a long document takes hours; its trainer gives up what stands still
NAME = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].full_name
OPTIONS = {
    "grpc.max_receive_message_length": MAX_GENERATION_BYTES,
    "grpc.max_concurrent_streams": 64,
    "grpc.max_connection_age_ms": (1 << 31) - 1,  # no age: it would end a long generation
}


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
    generator, token = settings.generator, NodeToken(settings.node_token.get_secret_value())
    async with Endpoint(generator) as endpoint:
        servicer = GeneratorServicer(generator, endpoint)

        def add(server: grpc.aio.Server) -> None:
            generator_pb2_grpc.add_GeneratorServiceServicer_to_server(servicer, server)

        calls = Calls(token.admit, stopping=GeneratorUnavailable, deadlines_seconds=DEADLINES_SECONDS)
        rpc = GrpcServer(
            generator.host, generator.port, calls, (NAME,), add, options=OPTIONS, drain_seconds=DRAIN_SECONDS
        )
        with serving_metrics(generator.metrics_host, generator.metrics_port) as metrics_port:
            port = await rpc.start()
            log.info(
                "generator_started",
                port=port,
                metrics_port=metrics_port,
                strategy=generator.strategy,
                model=generator.model,
            )
            try:
                yield port
            finally:
                await rpc.stop()
