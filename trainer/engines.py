"""Turns a published revision into one that an engine has fetched, checked, loaded and probed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import structlog

from lift import status
from lift.errors import LiftError, RevisionMissing, RevisionRejected
from lift.internal.v1.engine_pb2 import LoadRevisionRequest
from lift.internal.v1.engine_pb2 import RevisionRef as RevisionRefMessage
from lift.internal.v1.engine_pb2_grpc import EngineServiceStub
from storage.catalogue.nodes import Nodes
from storage.placement import place
from storage.records import Node, RevisionRef

log = structlog.get_logger()


class Engines:
    """The engines that the catalogue knows."""

    def __init__(self, nodes: Nodes, *, token: str, node_timeout_seconds: float, load_timeout_seconds: float) -> None:
        """A node that has not reported for `node_timeout_seconds` counts as dead."""
        self._nodes = nodes
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._node_timeout = timedelta(seconds=node_timeout_seconds)
        self._load_timeout_seconds = load_timeout_seconds

    def load(self, ref: RevisionRef, base_model_revision: str, check: Callable[[], None]) -> bool:
        """Has the engine that will be asked first load the revision, else the next one; whether any did.

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
                return True
        return False

    def _alive(self, base_model_revision: str) -> list[Node]:
        oldest = datetime.now(UTC) - self._node_timeout
        return [
            node
            for node in self._nodes.list()
            if node.heartbeat_at > oldest and not node.draining and node.base_model_revision == base_model_revision
        ]

    def _ask(self, node: Node, ref: RevisionRef) -> None:
        request = LoadRevisionRequest(
            revision=RevisionRefMessage(tenant=ref.tenant, adapter=ref.adapter, digest=ref.digest)
        )
        with grpc.insecure_channel(node.address) as channel:
            try:
                EngineServiceStub(channel).LoadRevision(
                    request, timeout=self._load_timeout_seconds, metadata=self._metadata
                )
            except grpc.RpcError as error:
                raise status.from_call(error) from error
