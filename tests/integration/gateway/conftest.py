"""A gateway that really listens, on a catalogue in a file, objects in memory, and an engine that follows a script."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

import grpc
import openai
import pytest
from google.longrunning import operations_pb2_grpc
from pydantic import SecretStr

from lift import status
from lift.errors import CredentialWrong, LiftError, RevisionNotResident
from lift.internal.v1 import engine_pb2 as pb
from lift.internal.v1 import engine_pb2_grpc
from lift.settings import GatewaySettings, Settings
from lift.v1 import adapters_pb2_grpc, admin_pb2_grpc, documents_pb2_grpc, queries_pb2_grpc
from lift.values import JobKind, Quotas
from server.gateway.serving import Ports, serving
from storage import keys
from storage.catalogue import Catalogue
from storage.memory import MemoryObjects
from storage.records import Revision, RevisionRef
from storage.wakeups import MemoryWakeups

NODE_TOKEN = "node-token"
OPERATOR_KEY = "operator-key"


class ScriptedEngine(engine_pb2_grpc.EngineServiceServicer):
    """Speaks the engine's contract, and writes the words it was given."""

    def __init__(self) -> None:
        self.words: Sequence[str] = ("The ", "tide ", "bell.")
        self.resident: set[tuple[str, str, str]] = set()
        self.refuses_to_load: LiftError | None = None
        self.asked: list[pb.AnswerRequest] = []
        self.seconds_given: dict[str, float | None] = {}
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.drains: set[str] = set()
        self.drained = asyncio.Event()
        self.answering = 0
        self.refused = 0
        self.fails: LiftError | None = None
        self.fails_after: int = 0
        self.loading: Counter[str] = Counter()
        self.most_loading: Counter[str] = Counter()
        self.loads_go_on = asyncio.Event()
        self.loads_go_on.set()
        self.waits_before = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.out_of_scope = False
        self.context_truncated = False
        self.address = ""
        self._server = grpc.aio.server()

    async def start(self) -> None:
        engine_pb2_grpc.add_EngineServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def LoadRevision(self, request: pb.LoadRevisionRequest, context: Any) -> pb.LoadRevisionResponse:
        await self._check(context)
        self.seconds_given["LoadRevision"] = context.time_remaining()
        if self.refuses_to_load is not None:
            await status.abort(context, self.refuses_to_load)
        tenant = request.revision.tenant
        self.loading[tenant] += 1
        self.most_loading[tenant] = max(self.most_loading[tenant], self.loading[tenant])
        await self.loads_go_on.wait()
        self.loading[tenant] -= 1
        self.loads.append(request.revision.digest)
        self.resident.add(_name(request.revision))
        return pb.LoadRevisionResponse()

    async def UnloadRevision(self, request: pb.UnloadRevisionRequest, context: Any) -> pb.UnloadRevisionResponse:
        await self._check(context)
        if self.fails is not None:
            await status.abort(context, self.fails)
        if request.revision.digest in self.drains:
            await self.drained.wait()
        self.unloads.append(request.revision.digest)
        self.resident.discard(_name(request.revision))
        return pb.UnloadRevisionResponse()

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> AsyncIterator[pb.AnswerResponse]:
        await self._check(context)
        if request.HasField("revision") and _name(request.revision) not in self.resident:
            self.refused += 1
            await status.abort(context, RevisionNotResident())
        self.asked.append(request)
        self.seconds_given["Answer"] = context.time_remaining()
        self.answering += 1
        words = self.words if request.max_tokens else ()
        try:
            if request.echo:
                tokens = [pb.Token(text=request.prompt)] if request.HasField("logprobs") else []
                yield pb.AnswerResponse(delta=request.prompt, tokens=tokens)
            for said, word in enumerate(words):
                if self.fails is not None and said == self.fails_after:
                    await status.abort(context, self.fails)
                if said >= self.waits_before:
                    await self.goes_on.wait()
                tokens = [pb.Token(text=word, logprob=-0.1, top={word: -0.1})] if request.HasField("logprobs") else []
                yield pb.AnswerResponse(delta=word, tokens=tokens)
            end = pb.AnswerEnd(
                finish_reason="stop",
                prompt_tokens=7,
                completion_tokens=len(words),
                out_of_scope=self.out_of_scope,
                context_truncated=self.context_truncated,
            )
            yield pb.AnswerResponse(end=end)
        finally:
            self.answering -= 1

    async def _check(self, context: Any) -> None:
        if ("authorization", f"Bearer {NODE_TOKEN}") not in context.invocation_metadata():
            await status.abort(context, CredentialWrong())


def _name(revision: pb.RevisionRef) -> tuple[str, str, str]:
    return revision.tenant, revision.adapter, revision.digest


class Keyed:
    """A service's stub whose every call carries a key, or none."""

    def __init__(self, stub: Any, secret: str | None) -> None:
        self._stub = stub
        self._metadata = () if secret is None else (("authorization", f"Bearer {secret}"),)

    def __getattr__(self, method: str) -> Any:
        return partial(getattr(self._stub, method), metadata=self._metadata)


class Client:
    """One caller's stubs, over one channel."""

    def __init__(self, channel: grpc.aio.Channel, secret: str | None) -> None:
        self.documents = Keyed(documents_pb2_grpc.DocumentServiceStub(channel), secret)
        self.adapters = Keyed(adapters_pb2_grpc.AdapterServiceStub(channel), secret)
        self.queries = Keyed(queries_pb2_grpc.QueryServiceStub(channel), secret)
        self.operations = Keyed(operations_pb2_grpc.OperationsStub(channel), secret)
        self.admin = Keyed(admin_pb2_grpc.AdminServiceStub(channel), secret)


@dataclass
class Running:
    """A gateway, what it stands on, and ways to call it."""

    settings: Settings
    ports: Ports
    catalogue: Catalogue
    objects: MemoryObjects
    wakeups: MemoryWakeups
    engines: list[ScriptedEngine]
    stop: Callable[[], Awaitable[None]]
    channels: list[grpc.aio.Channel] = field(default_factory=list)
    https: list[openai.AsyncOpenAI] = field(default_factory=list)

    @property
    def engine(self) -> ScriptedEngine:
        return self.engines[0]

    def with_key(self, secret: str | None, *, admin: bool = False) -> Client:
        port = self.ports.admin if admin else self.ports.tenants
        self.channels.append(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        return Client(self.channels[-1], secret)

    def tenant(self, id: str, quotas: Quotas | None = None) -> Client:
        """A new tenant's client."""
        return self.with_key(self.key_of(id, quotas))

    def key_of(self, id: str, quotas: Quotas | None = None) -> str:
        """A new tenant's secret."""
        self.catalogue.tenants.create(id, title=id, quotas=quotas or Quotas())
        return self.catalogue.keys.create(id, "test")[1]

    def openai(self, secret: str) -> openai.AsyncOpenAI:
        url = f"http://127.0.0.1:{self.ports.http}/v1"
        self.https.append(openai.AsyncOpenAI(base_url=url, api_key=secret, max_retries=0))
        return self.https[-1]

    def document(self, tenant: str, text: str = "The tide bell rings.") -> str:
        """A document that is there; its id."""
        content, digest = text.encode(), sha256(text.encode()).hexdigest()
        return self.catalogue.documents.create(
            tenant,
            title="",
            media_type="text/plain",
            sha256=digest,
            size_bytes=len(content),
            put=lambda id_: self.objects.put(keys.document(tenant, id_, digest), content),
        ).id

    def training(self, tenant: str, adapter: str, text: str = "The tide bell rings.") -> str:
        """A new adapter that is being trained; its job's id."""
        return self.catalogue.adapters.create(
            tenant, id=adapter, title="", documents=[self.document(tenant, text)], base_model="tiny", options={}
        )[1].id

    def publish(self, job: str, digest: str = "d" * 64, files: Sequence[str] = ("adapter_config.json",)) -> RevisionRef:
        """What a trainer does at the end of a job: files, then the commit."""
        lease = self.catalogue.leases.claim(job, JobKind.TRAIN, "trainer", 60)
        assert lease is not None
        ref = RevisionRef(tenant=lease.job.tenant, adapter=lease.job.adapter, digest=digest)
        for file in files:
            self.objects.put(keys.revision(ref, file), file.encode() * 3)
        revision = Revision(
            ref=ref,
            job=job,
            rank=8,
            size_bytes=99,
            base_model="tiny",
            base_model_revision="r",
            sentences=1,
            pairs=4,
            final_loss=0.5,
            created_at=datetime.now(UTC),
        )
        self.catalogue.leases.publish(lease, revision)
        return ref

    def ready(
        self, tenant: str, adapter: str, digest: str = "d" * 64, text: str = "The tide bell rings."
    ) -> RevisionRef:
        """A new adapter that can be asked."""
        return self.publish(self.training(tenant, adapter, text), digest)

    def report(
        self,
        number: int = 0,
        resident: Sequence[RevisionRef] = (),
        *,
        base_model_revision: str = "r",
        answers_at_once: int = 64,
    ) -> None:
        """What an engine's heartbeat does."""
        self.catalogue.nodes.report(
            f"engine-{number + 1}",
            address=self.engines[number].address,
            base_model="tiny",
            base_model_revision=base_model_revision,
            slots=4,
            answers_at_once=answers_at_once,
            resident=resident,
        )


@pytest.fixture
def running(sqlite_url: str) -> Callable[..., Any]:
    """running(engines=1, **gateway settings): a context manager that starts a gateway."""

    @asynccontextmanager
    async def start(engines: int = 1, **limits: Any) -> AsyncIterator[Running]:
        given = {"port": 0, "admin_port": 0, "http_port": 0, "operator_key": OPERATOR_KEY, "node_timeout_seconds": 3600}
        settings = Settings(
            node_token=SecretStr(NODE_TOKEN),
            model={"base_model": "tiny", "max_lora_rank": 64},
            gateway=GatewaySettings(**{**given, **limits}),
        )
        catalogue, objects, wakeups = Catalogue(sqlite_url), MemoryObjects(), MemoryWakeups()
        scripted = [ScriptedEngine() for _ in range(engines)]
        for engine in scripted:
            await engine.start()
        try:
            async with AsyncExitStack() as stack:
                ports = await stack.enter_async_context(serving(settings, catalogue, objects, wakeups))
                run = Running(settings, ports, catalogue, objects, wakeups, scripted, stack.aclose)
                for number in range(engines):
                    run.report(number)
                yield run
                for open_client in (*run.channels, *run.https):
                    await open_client.close()
        finally:
            for engine in scripted:
                await engine.stop()
            catalogue.close()

    return start


@pytest.fixture
async def gateway(running: Callable[..., Any]) -> AsyncIterator[Running]:
    """A gateway in front of one engine."""
    async with running() as run:
        yield run


@pytest.fixture
def refused() -> Callable[..., Awaitable[LiftError]]:
    """await refused(call): the error that a call ends with, read from its status as any client would."""

    async def error_of(call: Any) -> LiftError:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await (anext(aiter(call)) if hasattr(call, "__aiter__") else call)
        found = status.from_call(failed.value)
        assert status.code_of(found) == failed.value.code()
        return found

    return error_of


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """await eventually(condition): waits for it without blocking the loop; fails where it does not come about."""

    async def wait(true: Callable[[], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - what is waited for is outside of this loop
                await asyncio.sleep(0.01)

    return wait
