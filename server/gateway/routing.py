"""Turns a prompt for a revision into an answer from one of the engines: chosen, made to load it, replaced if down."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager

import grpc
import structlog

from lift import errors, status
from lift.internal.v1 import engine_pb2 as pb
from server.gateway.admission import Admission
from server.gateway.nodes import Nodes
from server.gateway.places import Places, Rooms
from storage.catalogue import Catalogue
from storage.placement import place
from storage.records import Node, RevisionRef
from storage.refs import of_message

log = structlog.get_logger()

ASKED_MUCH = 32  # answers that a node writes for this gateway; more in a step are each slower
LOADS_PER_ANSWER = 3
LOADS_PER_TENANT = 2
"""Who asks for many cold adapters waits for them longer than others do for one."""

WAITING_PER_TENANT = 256
"""Queries that wait for a load, each with its prompt, which stand in no line meanwhile."""

SHOWN = (
    errors.InvalidInput,
    errors.RevisionMissing,
    errors.RevisionNotResident,
    errors.RevisionRejected,
    errors.SlotsFull,
    errors.TimedOut,
)
"""What an engine may say to a tenant. Anything else is between the nodes."""


class Router:
    """Spreads answers over the engines. A node that cannot take one is passed over, as long as nothing was said yet."""

    def __init__(self, catalogue: Catalogue, nodes: Nodes, admission: Admission, timeout_seconds: float) -> None:
        """No call to an engine takes longer than `timeout_seconds`; who asks may leave before."""
        self._catalogue = catalogue
        self._nodes = nodes
        self._admission = admission
        self._timeout_seconds = timeout_seconds
        self._asked: Counter[str] = Counter()
        self._waiting = Places("concurrent_loads")
        self._loading = Rooms(LOADS_PER_TENANT)

    async def answer(self, request: pb.AnswerRequest) -> AsyncGenerator[pb.AnswerResponse]:
        """The engine's messages, to a query that was admitted.

        EngineUnavailable, SlotsFull, QuotaExceeded, QueueFull, and what an engine refuses with.
        """
        last: errors.LiftError = errors.EngineUnavailable()
        for node in await self._in_order(request):
            begun = False
            try:
                async with aclosing(self._answer_on(node, request)) as messages:
                    async for message in messages:
                        begun = True
                        yield message
                    return
            except (errors.Unavailable, errors.SlotsFull) as error:
                log.warning("node_passed_over", node=node.id, reason=error.reason())
                if begun:
                    raise
                last = error
        raise last

    async def answers_at_once(self) -> int:
        """So many the engines that can be asked now write at once; 0 where there is none."""
        return sum(node.answers_at_once for node in await self._nodes.usable())

    async def _in_order(self, request: pb.AnswerRequest) -> list[Node]:
        """Nodes to try: those that hold the revision, then as it is placed; for the base model, the least asked.

        One that is asked much is behind those that are not, so that a revision that many ask is on several.
        """
        nodes = await self._nodes.usable()
        if not request.HasField("revision"):
            return sorted(nodes, key=lambda node: self._asked[node.id])
        if len(nodes) < 2:
            return nodes
        placed, holding = await asyncio.to_thread(self._placed, of_message(request.revision), nodes)
        return sorted(placed, key=lambda node: (self._asked[node.id] // ASKED_MUCH, node.id not in holding))

    def _placed(self, ref: RevisionRef, nodes: Sequence[Node]) -> tuple[Sequence[Node], Collection[str]]:
        """Those of the revision's base model, as it is placed, and the ids of those that hold it. Blocks.

        Nodes are of several base models only while a deployment changes from one to another.
        """
        if len({node.base_model_revision for node in nodes}) > 1:
            base = self._catalogue.revisions.get(ref).base_model_revision
            nodes = [node for node in nodes if node.base_model_revision == base]
        return place(ref.digest, nodes, len(nodes)), self._catalogue.nodes.holding(ref)

    async def _answer_on(self, node: Node, request: pb.AnswerRequest) -> AsyncGenerator[pb.AnswerResponse]:
        for _ in range(LOADS_PER_ANSWER):
            begun = False
            try:
                async with self._asking(node, request) as messages:
                    async for message in messages:
                        begun = True
                        yield message
                    return
            except errors.RevisionNotResident as error:  # it was not there, or was taken out in mid-answer
                if begun:
                    raise errors.EngineUnavailable() from error
                await self._load(node, request.revision)
        raise errors.EngineUnavailable()

    @asynccontextmanager
    async def _asking(self, node: Node, request: pb.AnswerRequest) -> AsyncIterator[AsyncIterable[pb.AnswerResponse]]:
        """The messages of a call that ends with the block; its errors as the tenant sees them."""
        engine, metadata = self._nodes.engine(node), self._nodes.metadata
        call = engine.Answer(request, metadata=metadata, timeout=self._timeout_seconds)
        self._asked[node.id] += 1
        try:
            yield call
        except grpc.aio.AioRpcError as error:
            raise shown(error, node) from error
        finally:
            self._asked[node.id] -= 1
            call.cancel()

    async def _load(self, node: Node, revision: pb.RevisionRef) -> None:
        """Outside of what runs at once: others' answers are written meanwhile."""
        tenant = revision.tenant
        with self._waiting.held_by(tenant, WAITING_PER_TENANT):
            async with self._admission.outside(tenant), self._loading.of(tenant):
                await self._loaded(node, revision)
        log.info("revision_loaded", node=node.id, adapter=revision.adapter, revision=revision.digest)

    async def _loaded(self, node: Node, revision: pb.RevisionRef) -> None:
        try:
            engine, metadata = self._nodes.engine(node), self._nodes.metadata
            request = pb.LoadRevisionRequest(revision=revision)
            await engine.LoadRevision(request, metadata=metadata, timeout=self._timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise shown(error, node) from error


def shown(error: grpc.aio.AioRpcError, node: Node) -> errors.LiftError:
    """What a tenant gets to see of an engine's error: never an address, nor how nodes fare with each other."""
    found = status.from_call(error)
    if isinstance(found, SHOWN):
        return found
    if isinstance(found, errors.Unavailable):
        return errors.EngineUnavailable()
    log.error("engine_failed", node=node.id, code=error.code().name, details=error.details())
    return errors.InternalError()
