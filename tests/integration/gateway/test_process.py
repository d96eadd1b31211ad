"""The gateway as a process of its own: what it says, what it does without its neighbours, and how it stops."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lift import errors
from lift.v1 import adapters_pb2, admin_pb2, documents_pb2, queries_pb2
from lift.v1 import documents_pb2_grpc as documents_grpc
from lift.v1.adapters_pb2_grpc import AdapterServiceStub
from lift.v1.admin_pb2_grpc import AdminServiceStub
from storage.catalogue import Catalogue


def gateway_process(sqlite_url, log: Path, ports=(0, 0, 0), nowhere="127.0.0.1:1"):
    """A gateway whose object store and broker are not there, at ports that the system chooses unless some are given."""
    named = {"PORT": ports[0], "ADMIN_PORT": ports[1], "HTTP_PORT": ports[2], "OPERATOR_KEY": "operator-key"}
    settings = {f"LIFT_GATEWAY__{name}": str(value) for name, value in named.items()}
    settings |= {
        "LIFT_CATALOGUE__URL": sqlite_url,
        "LIFT_OBJECTS__ENDPOINT": nowhere,
        "LIFT_QUEUE__URL": f"redis://{nowhere}/0",
        "LIFT_LOG__JSON_LINES": "true",
    }
    with log.open("wb") as output:
        command = [sys.executable, "-m", "server.gateway"]
        return subprocess.Popen(command, env={**os.environ, **settings}, stderr=output)


@pytest.fixture
def process(sqlite_url, tmp_path) -> Iterator[subprocess.Popen]:
    """One that runs."""
    running = gateway_process(sqlite_url, tmp_path / "log")
    yield running
    running.kill()
    running.wait()


@pytest.fixture
def ports(process, tmp_path, wait_until, logged) -> tuple[int, int, int]:
    """Where it listens: to tenants, to operators and for HTTP."""
    wait_until(lambda: logged(tmp_path / "log", "gateway_started"), 120)
    started = logged(tmp_path / "log", "gateway_started")
    return started["port"], started["admin_port"], started["http_port"]


async def serving(channel):
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="lift.v1.QueryService")
    return await health.Check(request, wait_for_ready=True, timeout=120)


async def test_a_gateway_does_what_it_can_without_its_neighbours_and_stops_when_told(
    process, ports, sqlite_url, refused
):
    catalogue = Catalogue(sqlite_url)
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as tenants,
        grpc.aio.insecure_channel(f"127.0.0.1:{ports[1]}") as operators,
    ):
        assert (await serving(tenants)).status == health_pb2.HealthCheckResponse.SERVING
        admin, key = AdminServiceStub(operators), (("authorization", "Bearer operator-key"),)
        await admin.CreateTenant(admin_pb2.CreateTenantRequest(tenant_id="acme"), metadata=key)
        made = await admin.CreateKey(admin_pb2.CreateKeyRequest(parent="tenants/acme"), metadata=key)
        key = (("authorization", f"Bearer {made.secret}"),)
        request = documents_pb2.CreateDocumentRequest(
            document=documents_pb2.Document(media_type="text/plain"), content=b"The tide bell rings."
        )
        stub = documents_grpc.DocumentServiceStub(tenants)
        assert type(await refused(stub.CreateDocument(request, metadata=key))) is errors.StoreUnavailable
        assert not (await stub.ListDocuments(documents_pb2.ListDocumentsRequest(), metadata=key)).documents

        document = catalogue.documents.create(
            "acme", title="", media_type="text/plain", sha256="0" * 64, size_bytes=1, put=lambda _: None
        )
        creation = adapters_pb2.CreateAdapterRequest(
            adapter=adapters_pb2.Adapter(documents=[f"documents/{document.id}"])
        )
        operation = await AdapterServiceStub(tenants).CreateAdapter(creation, metadata=key)
        assert not operation.done

        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    catalogue.close()


async def test_a_catalogue_that_cannot_be_reached_at_the_start_is_said_with_the_reason(tmp_path):
    failed = gateway_process("postgresql+psycopg://lift:secret@127.0.0.1:1/lift", tmp_path / "log")
    assert await asyncio.to_thread(failed.wait, 120) == 1
    said = (tmp_path / "log").read_text()
    assert said.startswith("The catalogue's database cannot be reached: ")
    assert "refused" in said
    assert "secret" not in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("taken", [0, 2])
async def test_a_second_gateway_on_the_same_port_does_not_start_and_says_why(
    process, ports, sqlite_url, tmp_path, taken
):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        await serving(channel)
    wanted, log = [0, 0, 0], tmp_path / "second"
    wanted[taken] = ports[taken]
    second = gateway_process(sqlite_url, log, wanted)
    assert await asyncio.to_thread(second.wait, 120) == 1
    assert f"127.0.0.1:{ports[taken]}, problem: taken" in log.read_text().splitlines()[-1]
    assert process.poll() is None


async def test_a_gateway_that_stops_finishes_its_queries_and_takes_no_more(running, refused, eventually):
    async with running() as gateway:
        client = gateway.tenant("acme")
        watched = gateway.training("acme", "tides")
        watch = aiter(client.adapters.WatchOperation(adapters_pb2.WatchOperationRequest(name=f"operations/{watched}")))
        await anext(watch)
        gateway.engine.waits_before = 1
        gateway.engine.goes_on.clear()
        query = asyncio.ensure_future(client.queries.Query(queries_pb2.QueryRequest(question="When?")))
        await eventually(lambda: gateway.engine.answering == 1)
        health = health_pb2_grpc.HealthStub(gateway.channels[0])
        stopping = asyncio.ensure_future(gateway.stop())

        request = health_pb2.HealthCheckRequest(service="lift.v1.QueryService")
        while (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING:
            pass
        error = await refused(client.queries.Query(queries_pb2.QueryRequest(question="When?")))
        assert type(error) is errors.GatewayUnavailable
        gateway.engine.goes_on.set()
        assert (await query).answer == "The tide bell."
        await stopping
        with pytest.raises(grpc.aio.AioRpcError):
            await anext(watch)
