"""A real gateway on its own thread, with objects in memory and an engine that says what it is told to."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
import structlog
from pydantic import SecretStr

from lift.client.connection import ClientFile
from lift.internal.v1 import engine_pb2 as pb
from lift.internal.v1 import engine_pb2_grpc
from lift.settings import GatewaySettings, ModelSettings, Settings
from lift.stack.folder import StateFolder
from lift.values import JobKind, Quotas, Stage
from server.gateway.serving import Ports, serving
from storage import keys, knowledge, records
from storage.catalogue import Catalogue
from storage.knowledge import AskedPair, SentenceKnowledge
from storage.memory import MemoryObjects
from storage.wakeups import MemoryWakeups

OPERATOR_KEY = "operator-key"
FILES = ("adapter_config.json", "adapter_model.safetensors", "manifest.json")


class WordyEngine(engine_pb2_grpc.EngineServiceServicer):
    """Answers every question with the same words, and remembers what it was asked."""

    words = ("The ", "tide ", "bell.")

    def __init__(self) -> None:
        self.asked: list[pb.AnswerRequest] = []

    async def LoadRevision(self, request: pb.LoadRevisionRequest, context: Any) -> pb.LoadRevisionResponse:
        return pb.LoadRevisionResponse()

    async def UnloadRevision(self, request: pb.UnloadRevisionRequest, context: Any) -> pb.UnloadRevisionResponse:
        return pb.UnloadRevisionResponse()

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> AsyncIterator[pb.AnswerResponse]:
        self.asked.append(request)
        for word in self.words:
            yield pb.AnswerResponse(delta=word)
        yield pb.AnswerResponse(
            end=pb.AnswerEnd(finish_reason="length", prompt_tokens=7, completion_tokens=len(self.words))
        )


@dataclass
class Gateway:
    """A gateway that listens, and what it stands on."""

    ports: Ports
    catalogue: Catalogue
    objects: MemoryObjects
    engine: WordyEngine
    key: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.tenants}"

    @property
    def admin_address(self) -> str:
        return f"127.0.0.1:{self.ports.admin}"

    def leave_client_file(self, state: StateFolder) -> None:
        """What `lift up` does for clients."""
        ClientFile(
            address=self.address,
            key=self.key,
            http_url=f"http://127.0.0.1:{self.ports.http}/v1",
            admin_address=self.admin_address,
            operator_key=OPERATOR_KEY,
        ).write(state.path)

    def claim(self, job: str) -> records.Lease:
        """What a trainer does first."""
        lease = self.catalogue.leases.claim(job, JobKind.TRAIN, "trainer", 60)
        assert lease is not None
        return lease

    def train(self, job: str, digest: str = "d" * 64) -> None:
        """What a trainer does to a job, from its claim to the commit of a revision."""
        lease = self.claim(job)
        seconds = {"extract": 0.5, "total": 2.0}
        done = records.Progress(
            stage=Stage.LOAD,
            sentences=2,
            sentences_done=2,
            pairs=8,
            step=4,
            steps=4,
            loss=0.25,
            seconds=seconds,
        )
        self.catalogue.leases.heartbeat(lease, 60, done)
        ref = records.RevisionRef(tenant=lease.job.tenant, adapter=lease.job.adapter, digest=digest)
        for file in FILES:
            self.objects.put(keys.revision(ref, file), file.encode() * 100_000)
        revision = records.Revision(
            ref=ref,
            job=job,
            rank=8,
            size_bytes=99,
            base_model="tiny",
            base_model_revision="r",
            sentences=2,
            pairs=8,
            final_loss=0.25,
            recall=0.75,
            coverage=0.5,
            losses=(2.5, 0.25),
            created_at=datetime.now(UTC),
        )
        sentences = [
            SentenceKnowledge(
                document="doc-1",
                start=0,
                end=3,
                text="It.",
                pairs=(AskedPair(question="What?", answer="It", known=known),),
            )
            for known in (True, False)
        ]
        knowledge.write(self.objects, ref, sentences)
        self.catalogue.leases.publish(lease, revision)


@contextmanager
def gateway_at(sqlite_url: str, port: int = 0) -> Iterator[Gateway]:
    """A gateway that serves on a thread of its own for as long as the block lasts."""
    settings = Settings(
        node_token=SecretStr("node-token"),
        model=ModelSettings(base_model="tiny", max_lora_rank=64),
        gateway=GatewaySettings(
            port=port,
            admin_port=0,
            http_port=0,
            operator_key=SecretStr(OPERATOR_KEY),
            node_timeout_seconds=3600,  # the engine reports once
        ),
    )
    with ExitStack() as stack:
        catalogue = Catalogue(sqlite_url)
        stack.callback(catalogue.close)
        objects, engine = MemoryObjects(), WordyEngine()
        loop = asyncio.new_event_loop()
        ports: list[Ports] = []
        started, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            engine_server = grpc.aio.server()
            engine_pb2_grpc.add_EngineServiceServicer_to_server(engine, engine_server)
            engine_port = engine_server.add_insecure_port("127.0.0.1:0")
            await engine_server.start()
            catalogue.nodes.report(
                "engine-1",
                address=f"127.0.0.1:{engine_port}",
                base_model="tiny",
                base_model_revision="r",
                slots=4,
                answers_at_once=64,
                resident=(),
            )
            async with serving(settings, catalogue, objects, MemoryWakeups()) as bound:
                ports.append(bound)
                started.set()
                await stop.wait()
            await engine_server.stop(None)

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        stack.callback(loop.close)
        stack.callback(thread.join)
        stack.callback(loop.call_soon_threadsafe, stop.set)
        assert started.wait(60)
        if not catalogue.tenants.list(1, "").items:
            catalogue.tenants.create("mine", title="Mine", quotas=Quotas())
        key = catalogue.keys.create("mine", "test")[1]
        yield Gateway(ports=ports[0], catalogue=catalogue, objects=objects, engine=engine, key=key)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keeps what a gateway logs in this very process away from what commands print."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def gateway(sqlite_url: str) -> Iterator[Gateway]:
    """A gateway with one tenant, `mine`."""
    with gateway_at(sqlite_url) as gateway:
        yield gateway


@pytest.fixture
def gateway_again():
    """gateway_again(url, port): another gateway, for tests that stop one; they cannot import this file."""
    return gateway_at


@pytest.fixture
def state(tmp_path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    """A state folder that nothing in the environment leads away from."""
    for name in [name for name in os.environ if name.startswith("LIFT_")]:
        monkeypatch.delenv(name)
    state = StateFolder(tmp_path / "state")
    state.make()
    return state
