"""Turns a published revision into one that an engine has fetched, checked, loaded and probed, and asks it questions."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import structlog

from lift import status
from lift.errors import LiftError, RevisionMissing, RevisionRejected
from lift.internal.v1.engine_pb2 import AnswerRequest, LoadRevisionRequest, Turn
from lift.internal.v1.engine_pb2_grpc import EngineServiceStub
from storage.catalogue.nodes import Nodes
from storage.placement import place
from storage.records import Node, RevisionRef
from storage.refs import to_message

ASKED_AT_ONCE = 32  # half of what an engine writes at once by default
ANSWER_SECONDS = 120.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and how many tokens its answer may have."""

    question: str
    max_tokens: int


class Engines:
    """The engines that the catalogue knows."""

    def __init__(self, nodes: Nodes, *, token: str, node_timeout_seconds: float, load_timeout_seconds: float) -> None:
        """A node that has not reported for `node_timeout_seconds` counts as dead."""
        self._nodes = nodes
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._node_timeout_seconds = node_timeout_seconds
        self._load_timeout_seconds = load_timeout_seconds

    def load(self, ref: RevisionRef, base_model_revision: str, check: Callable[[], None]) -> Node | None:
        """Has the engine that will be asked first load the revision, else the next one; which one did, if any.

        RevisionRejected: an engine refuses it. An engine that is away or full only costs warmth: the first query loads.
        """
        for node in place(ref.digest, self._alive(base_model_revision), count=2):
            check()
            try:
                self._ask(node, ref)
            except (RevisionRejected, RevisionMissing):
                raise
            except LiftError as error:
                log.warning("revision_not_loaded", node=node.id, revision=ref.digest, error=type(error).__name__)
            else:
                log.info("revision_loaded", node=node.id, revision=ref.digest)
                return node
        return None

    def answers(self, node: Node, tenant: str, ref: RevisionRef | None, asked: Sequence[Asked]) -> list[str]:
        """What the revision, or the base model where it is None, answers greedily and closed-book. LiftError."""
        requests = [
            AnswerRequest(
                tenant=tenant,
                revision=to_message(ref) if ref else None,
                turns=[Turn(role="user", content=one.question)],
                max_tokens=one.max_tokens,
                temperature=0.0,
                top_p=1.0,
            )
            for one in asked
        ]
        with grpc.insecure_channel(node.address) as channel, ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            stub = EngineServiceStub(channel)
            return list(pool.map(lambda request: self._answer(stub, request), requests))

    def _answer(self, stub: EngineServiceStub, request: AnswerRequest) -> str:
        try:
            stream = stub.Answer(request, timeout=ANSWER_SECONDS, metadata=self._metadata)
            return "".join(message.delta for message in stream)
        except grpc.RpcError as error:
            raise status.from_call(error) from error

    def _alive(self, base_model_revision: str) -> list[Node]:
        return [
            node
            for node in self._nodes.list()
            if node.silent_seconds < self._node_timeout_seconds
            and not node.draining
            and node.base_model_revision == base_model_revision
        ]

    def _ask(self, node: Node, ref: RevisionRef) -> None:
        request = LoadRevisionRequest(revision=to_message(ref))
        with grpc.insecure_channel(node.address) as channel:
            try:
                EngineServiceStub(channel).LoadRevision(
                    request, timeout=self._load_timeout_seconds, metadata=self._metadata
                )
            except grpc.RpcError as error:
                raise status.from_call(error) from error
