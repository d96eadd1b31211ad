"""Turns settings and stores into a running gateway: two gRPC servers, an HTTP server, and the sweeping of deletions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import structlog
from google.longrunning import operations_pb2, operations_pb2_grpc

from lift.errors import GatewayUnavailable
from lift.serving.calls import Calls
from lift.serving.grpc_server import GrpcServer
from lift.serving.metrics import serving_metrics
from lift.settings import Settings
from lift.v1 import (
    adapters_pb2,
    adapters_pb2_grpc,
    admin_pb2,
    admin_pb2_grpc,
    documents_pb2,
    documents_pb2_grpc,
    queries_pb2,
    queries_pb2_grpc,
)
from server.gateway import metrics
from server.gateway.adapters import AdapterService, Trainings
from server.gateway.admin import AdminService
from server.gateway.admission import Admission
from server.gateway.answers import Answers
from server.gateway.auth import OperatorKey, TenantKeys
from server.gateway.contexts import Contexts
from server.gateway.deletion import Deletions
from server.gateway.documents import Documents, DocumentService
from server.gateway.evidence import Witness
from server.gateway.nodes import Nodes
from server.gateway.openai_backend import GatewayBackend
from server.gateway.operations import OperationsService
from server.gateway.queries import QueryService
from server.gateway.routing import Router
from server.gateway.watches import Watches
from server.listening import HttpServer
from server.openai_api import openai_app
from storage.catalogue import Catalogue
from storage.objects import ObjectStore
from storage.wakeups import Wakeups

log = structlog.get_logger()

TENANT_SERVICES = (
    documents_pb2.DESCRIPTOR.services_by_name["DocumentService"].full_name,
    adapters_pb2.DESCRIPTOR.services_by_name["AdapterService"].full_name,
    queries_pb2.DESCRIPTOR.services_by_name["QueryService"].full_name,
    operations_pb2.DESCRIPTOR.services_by_name["Operations"].full_name,
)
ADMIN_SERVICES = (admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,)

RESUMABLE = frozenset({"WatchOperation", "WaitOperation"})
DEADLINES_SECONDS = {
    "UploadDocument": 600.0,
    "DownloadRevision": 600.0,
    "Query": 3600.0,  # also held to the gateway's own limit
    "StreamQuery": 3600.0,
    "WatchOperation": 3600.0,
    "WaitOperation": 3600.0,
}

SLOW_READS_AT_ONCE = 4
"""Documents, and what revisions know, are long: the threads that every call needs must not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a gateway listens; `metrics` is 0 where it says none."""

    tenants: int
    admin: int
    http: int
    metrics: int


@asynccontextmanager
async def serving(
    settings: Settings, catalogue: Catalogue, objects: ObjectStore, wakeups: Wakeups
) -> AsyncIterator[Ports]:
    """A gateway that serves for as long as the block lasts, then takes no more, finishes what it has, and stops.

    A port of 0 is chosen by the system.
    """
    limits = settings.gateway
    nodes = Nodes(
        catalogue, node_token=settings.node_token.get_secret_value(), timeout_seconds=limits.node_timeout_seconds
    )
    admission = Admission(max_waiting=limits.max_queued_queries)
    router = Router(catalogue, nodes, admission, limits.query_timeout_seconds)
    readers = ThreadPoolExecutor(SLOW_READS_AT_ONCE, thread_name_prefix="reading")
    witness = Witness(objects, readers)
    answers = Answers(
        catalogue=catalogue,
        router=router,
        admission=admission,
        contexts=Contexts(catalogue, objects, readers),
        witness=witness,
        limits=limits,
    )
    tenant_keys = TenantKeys(catalogue)
    deletions = Deletions(catalogue, objects, nodes)
    watches = Watches(catalogue)
    trainings = Trainings(catalogue, wakeups, settings.model)
    documents = DocumentService(catalogue, Documents(catalogue, objects), limits.max_document_bytes)

    def add_tenant_services(server: grpc.aio.Server) -> None:
        documents_pb2_grpc.add_DocumentServiceServicer_to_server(documents, server)
        adapters = AdapterService(
            catalogue=catalogue,
            objects=objects,
            trainings=trainings,
            deletions=deletions,
            watches=watches,
            witness=witness,
        )
        adapters_pb2_grpc.add_AdapterServiceServicer_to_server(adapters, server)
        queries_pb2_grpc.add_QueryServiceServicer_to_server(QueryService(answers), server)
        operations_pb2_grpc.add_OperationsServicer_to_server(OperationsService(catalogue, watches), server)

    def add_admin_services(server: grpc.aio.Server) -> None:
        admin = AdminService(catalogue, objects, tenant_keys, limits.node_timeout_seconds)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)

    operator = OperatorKey(limits.operator_key.get_secret_value())
    app = openai_app(GatewayBackend(catalogue, tenant_keys, answers, settings.model.base_model))
    calls, admin_calls = _calls(tenant_keys.admit), _calls(operator.admit)
    tenants = GrpcServer(limits.host, limits.port, calls, TENANT_SERVICES, add_tenant_services)
    admin = GrpcServer(limits.admin_host, limits.admin_port, admin_calls, ADMIN_SERVICES, add_admin_services)
    http = HttpServer(limits.http_host, limits.http_port, app)
    metrics.RUNNING.set_function(lambda: admission.running)
    metrics.WAITING.set_function(lambda: admission.waiting)
    in_catalogue = metrics.CatalogueCollector(catalogue, limits.node_timeout_seconds)
    sweeping = asyncio.create_task(deletions.run())
    try:
        with serving_metrics(limits.metrics_host, limits.metrics_port, in_catalogue) as metrics_port:
            ports = Ports(
                tenants=await tenants.start(), admin=await admin.start(), http=await http.start(), metrics=metrics_port
            )
            log.info(
                "gateway_started",
                port=ports.tenants,
                admin_port=ports.admin,
                http_port=ports.http,
                metrics_port=ports.metrics,
            )
            yield ports
    finally:
        log.info("gateway_stopping")
        await asyncio.gather(tenants.stop(), admin.stop(), http.stop())
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await watches.close()
        await asyncio.to_thread(readers.shutdown, cancel_futures=True)
        await nodes.close()
        in_catalogue.close()
        log.info("gateway_stopped")


def _calls(admit: Callable[[str], Awaitable[None]]) -> Calls:
    return Calls(admit, stopping=GatewayUnavailable, deadlines_seconds=DEADLINES_SECONDS, resumable=RESUMABLE)
