"""The generator as a process of its own: started as operators start it, stopped by a signal."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from generator.testing import Reply, scripted_endpoint
from lift import status
from lift.errors import GeneratorUnavailable
from lift.internal.v1 import generator_pb2 as pb
from lift.internal.v1.generator_pb2_grpc import GeneratorServiceStub

PAIR = '{"qa_list": [{"question": "Who?", "answer": "Ada"}]}'


@asynccontextmanager
async def generator_process(endpoint: str, log: Path, logged):
    """A running `python -m generator`; killed at the end where it still runs."""
    settings = {"ENDPOINT": endpoint, "PORT": "0", "STRATEGY": "sentence", "RETRIES": "0"}
    environment = os.environ | {f"LIFT_GENERATOR__{name}": value for name, value in settings.items()}
    environment["LIFT_LOG__JSON_LINES"] = "true"
    with log.open("wb") as output:
        command = (sys.executable, "-m", "generator")
        process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=output)
    try:
        async with asyncio.timeout(120):
            while not (started := logged(log, "generator_started")):  # noqa: ASYNC110 - another process says it
                await asyncio.sleep(0.02)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{started['port']}") as channel:
            yield process, channel
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_serves_says_what_it_serves_and_stops_on_sigterm_once_its_streams_have_ended(tmp_path, logged):
    gate = asyncio.Event()
    request = pb.GenerateRequest(documents=[pb.SourceDocument(text="It was built by Ada.")])
    async with (
        scripted_endpoint(lambda _: Reply(text=PAIR, waits_for=gate)) as endpoint,
        generator_process(endpoint.url, tmp_path / "log", logged) as (process, channel),
    ):
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        async for answer in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked):
            names = {service.name for service in answer.list_services_response.service}
        assert "lift.internal.v1.GeneratorService" in names

        stream = GeneratorServiceStub(channel).Generate(request, timeout=120)
        assert (await stream.read()).HasField("plan")
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GeneratorServiceStub(channel).Generate(request, timeout=120).read()
        assert type(status.from_call(refused.value)) is GeneratorUnavailable
        gate.set()
        events = [(await stream.read()).WhichOneof("event") for _ in range(3)]
        assert events == ["pair", "outcome", "coverage"]
        assert await stream.read() == grpc.aio.EOF
        async with asyncio.timeout(120):
            assert await process.wait() == 0
