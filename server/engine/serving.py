"""Turns a loaded base model into a node that serves: gRPC, HTTP, reports to the catalogue, and a drain at the end."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from lift.errors import EngineUnavailable
from lift.ids import SYSTEM
from lift.internal.v1 import engine_pb2, engine_pb2_grpc
from lift.serving.calls import Calls
from lift.serving.grpc_server import GrpcServer
from lift.serving.metrics import serving_metrics
from lift.serving.node_token import NodeToken
from lift.settings import Settings
from lift.template import PromptTemplate
from lift.writing import WRITER
from server.engine import metrics
from server.engine.answers import Answers, Question
from server.engine.disk_cache import DiskCache
from server.engine.identity import Identity
from server.engine.llm import LLM, Adapter, Sampling
from server.engine.loading import Preparation, load_probed
from server.engine.openai_backend import OwnModels
from server.engine.preparing import Setup
from server.engine.residency import Residency
from server.engine.service import EngineService
from server.engine.slots import Slots
from server.listening import HttpServer
from server.openai_api import openai_app
from server.pieces import End
from storage.catalogue import Catalogue

log = structlog.get_logger()

SERVICES = (engine_pb2.DESCRIPTOR.services_by_name["EngineService"].full_name,)
DEADLINES_SECONDS = {"Answer": 3600.0, "LoadRevision": 3600.0}  # also held to what settings give them


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where an engine listens; `metrics` is 0 where it says none."""

    grpc: int
    http: int
    metrics: int


@asynccontextmanager
async def serving(
    settings: Settings,
    llm: LLM,
    *,
    catalogue: Catalogue,
    base_model: Path,
    base_model_revision: str,
) -> AsyncIterator[Ports]:
    """An engine that serves for as long as the block lasts, then takes no more, finishes what it has, and stops.

    It serves once the base model has written a token; revisions come in behind. A port of 0 is chosen by the system.
    EngineUnavailable: the base model writes nothing. RevisionRejected: the question writer is no adapter of it.
    """
    engine = settings.engine
    identity = Identity(
        id=engine.node,
        base_model=settings.model.base_model,
        base_model_revision=base_model_revision,
        max_model_len=llm.window,
        max_lora_rank=settings.model.max_lora_rank,
        slots=engine.slots,
        answers_at_once=engine.max_num_seqs,
    )
    async with _preparation(settings, base_model, identity) as preparation:
        own = await _own_adapters(llm, preparation, Path(engine.writer) if engine.writer else None)
        disk = DiskCache(preparation.prepare, engine.disk_cache_bytes)
        slots = Slots(
            llm,
            disk,
            capacity=engine.slots,
            drain_seconds=engine.drain_seconds,
            first_number=len(own) + 1,
        )
        metrics.SLOTS.set(engine.slots)
        metrics.ADAPTERS.labels("memory").set_function(lambda: len(slots.resident))
        metrics.ADAPTERS.labels("disk").set_function(lambda: len(disk))
        metrics.DISK_CACHE_BYTES.set_function(lambda: disk.size_bytes)
        salt = settings.node_token.get_secret_value().encode() or secrets.token_bytes(32)
        answers = Answers(llm, slots, _template(settings, llm), salt)
        await _check_answering(answers)
        async with _listening(settings, identity, catalogue=catalogue, slots=slots, answers=answers, own=own) as ports:
            yield ports


@asynccontextmanager
async def _listening(
    settings: Settings,
    identity: Identity,
    *,
    catalogue: Catalogue,
    slots: Slots,
    answers: Answers,
    own: tuple[Adapter, ...],
) -> AsyncIterator[Ports]:
    """Takes calls, and reports to the catalogue."""
    engine, token = settings.engine, NodeToken(settings.node_token.get_secret_value())
    service = EngineService(identity, slots, answers)

    def add(server: grpc.aio.Server) -> None:
        engine_pb2_grpc.add_EngineServiceServicer_to_server(service, server)

    calls = Calls(token.admit, stopping=EngineUnavailable, deadlines_seconds=DEADLINES_SECONDS)
    rpc = GrpcServer(engine.host, engine.port, calls, SERVICES, add)
    backend = OwnModels(settings.model.base_model, own, answers, token)
    http = HttpServer(engine.http_host, engine.http_port, openai_app(backend))
    residency = Residency(catalogue, slots, identity, settings)
    try:
        with serving_metrics(engine.metrics_host, engine.metrics_port) as metrics_port:
            ports = Ports(grpc=await rpc.start(), http=await http.start(), metrics=metrics_port)
            log.info(
                "engine_started",
                node=engine.node,
                port=ports.grpc,
                http_port=ports.http,
                metrics_port=ports.metrics,
            )
            async with asyncio.TaskGroup() as background:
                reporting = background.create_task(residency.run())
                try:
                    yield ports
                finally:
                    reporting.cancel()
    finally:
        log.info("engine_stopping", node=engine.node)
        await asyncio.gather(rpc.stop(), http.stop())
        log.info("engine_stopped", node=engine.node)


@asynccontextmanager
async def _preparation(settings: Settings, base_model: Path, identity: Identity) -> AsyncIterator[Preparation]:
    """Empties the folder of the last run: only what this engine loads may be in it."""
    folder = settings.state_dir / "engine" / identity.id / "revisions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    preparation = Preparation(
        Setup(
            objects=settings.objects,
            folder=folder.resolve(),
            base_model=base_model,
            base_model_revision=identity.base_model_revision,
            max_lora_rank=settings.model.max_lora_rank,
            max_revision_bytes=settings.engine.max_revision_bytes,
        )
    )
    try:
        yield preparation
    finally:
        await preparation.close()


async def _own_adapters(llm: LLM, preparation: Preparation, folder: Path | None) -> tuple[Adapter, ...]:
    """The question writer, loaded for good; nothing where there is none."""
    if folder is None:
        return ()
    await preparation.check(folder)
    adapter = Adapter(number=1, name=WRITER, folder=folder)
    await load_probed(llm, adapter)
    log.info("writer_loaded", folder=str(folder))
    return (adapter,)


def _template(settings: Settings, llm: LLM) -> PromptTemplate:
    name = settings.model.template
    return PromptTemplate.for_vocabulary(llm.vocabulary) if name == "auto" else PromptTemplate.named(name)


async def _check_answering(answers: Answers) -> None:
    question = Question(tenant=SYSTEM, prompt="Hello", sampling=Sampling(max_tokens=1))
    async with aclosing(answers.answer(question)) as pieces:
        async for piece in pieces:
            if isinstance(piece, End) and piece.completion_tokens:
                return
    raise EngineUnavailable()
