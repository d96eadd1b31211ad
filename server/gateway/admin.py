"""Serves lift.v1.AdminService to operators: tenants, their keys and jobs, and the nodes."""

import asyncio
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf import empty_pb2

from lift.errors import TenantExists, TenantMissing
from lift.ids import SYSTEM, checked_id, ids_in
from lift.v1 import admin_pb2 as pb
from lift.v1 import admin_pb2_grpc
from server.gateway import listings, translate
from server.gateway.auth import TenantKeys
from storage import keys
from storage.catalogue import Catalogue
from storage.objects import ObjectStore
from storage.placement import is_alive
from storage.records import Node

log = structlog.get_logger()


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """lift.v1.AdminService."""

    def __init__(
        self, catalogue: Catalogue, objects: ObjectStore, tenant_keys: TenantKeys, node_timeout_seconds: float
    ) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._tenant_keys = tenant_keys
        self._node_timeout_seconds = node_timeout_seconds

    async def CreateTenant(
        self, request: pb.CreateTenantRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Tenant:
        """A tenant without keys."""
        if request.tenant_id == SYSTEM:
            raise TenantExists(tenant=SYSTEM)
        title, quotas = request.tenant.title.strip(), translate.quotas(request.tenant.quotas)
        made = await asyncio.to_thread(self._catalogue.tenants.create, request.tenant_id or None, title, quotas)
        log.info("tenant_created", tenant=made.id)
        return translate.tenant(made)

    async def GetTenant(self, request: pb.GetTenantRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Tenant:
        """One tenant."""
        id_ = translate.id_in(request.name, "tenants")
        return translate.tenant(await asyncio.to_thread(self._catalogue.tenants.get, id_))

    async def ListTenants(
        self, request: pb.ListTenantsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListTenantsResponse:
        """A page of tenants."""
        listed, shown = self._catalogue.tenants.list, listings.each(translate.tenant)
        rows, token = await listings.page(request, listed, shown)
        return pb.ListTenantsResponse(tenants=rows, next_page_token=token)

    async def UpdateTenant(
        self, request: pb.UpdateTenantRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Tenant:
        """The tenant, with the request's title and quotas."""
        id_ = translate.id_in(request.tenant.name, "tenants")
        title, quotas = request.tenant.title.strip(), translate.quotas(request.tenant.quotas)
        updated = await asyncio.to_thread(self._catalogue.tenants.update, id_, title, quotas)
        self._tenant_keys.forget()
        return translate.tenant(updated)

    async def DeleteTenant(
        self, request: pb.DeleteTenantRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> empty_pb2.Empty:
        """Tenant, keys, and bytes that no row names."""
        id_ = translate.id_in(request.name, "tenants")
        try:
            await asyncio.to_thread(delete_tenant, self._catalogue, self._objects, id_)
        finally:
            self._tenant_keys.forget()
        log.info("tenant_deleted", tenant=id_)
        return empty_pb2.Empty()

    async def CreateKey(
        self, request: pb.CreateKeyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CreateKeyResponse:
        """A key and, this once, its secret."""
        id_ = translate.id_in(request.parent, "tenants")
        key, secret = await asyncio.to_thread(self._catalogue.keys.create, id_, request.title.strip())
        log.info("key_created", tenant=id_, key=key.id)
        return pb.CreateKeyResponse(key=translate.key(key), secret=secret)

    async def ListKeys(
        self, request: pb.ListKeysRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListKeysResponse:
        """A page of a tenant's keys."""
        listed = partial(self._catalogue.keys.list, translate.id_in(request.parent, "tenants"))
        rows, token = await listings.page(request, listed, listings.each(translate.key))
        return pb.ListKeysResponse(keys=rows, next_page_token=token)

    async def RevokeKey(
        self, request: pb.RevokeKeyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> empty_pb2.Empty:
        """A key that no longer works."""
        tenant, key = map(checked_id, ids_in(request.name, "tenants", "keys"))
        await asyncio.to_thread(self._catalogue.keys.revoke, tenant, key)
        self._tenant_keys.forget()
        log.info("key_revoked", tenant=tenant, key=key)
        return empty_pb2.Empty()

    async def ListJobs(
        self, request: pb.ListJobsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListJobsResponse:
        """A page of jobs, of whichever tenant."""
        listed = partial(
            self._catalogue.jobs.overviews,
            translate.job_states(request.states),
            tenant=translate.tenant_or_all(request.parent),
            newest_first=request.newest_first,
        )
        rows, token = await listings.page(request, listed, listings.each(translate.job))
        return pb.ListJobsResponse(jobs=rows, next_page_token=token)

    async def CancelJob(self, request: pb.CancelJobRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Job:
        """The job, asked to stop."""
        tenant, job = map(checked_id, ids_in(request.name, "tenants", "jobs"))
        await asyncio.to_thread(self._catalogue.jobs.request_cancel, tenant, job)
        log.info("job_cancel_requested", tenant=tenant, job=job)
        return translate.job(await asyncio.to_thread(self._catalogue.jobs.overview, tenant, job))

    async def ListNodes(
        self, request: pb.ListNodesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListNodesResponse:
        """A page of nodes."""
        rows, token = await listings.page(request, self._catalogue.nodes.page, listings.each(self._node))
        return pb.ListNodesResponse(nodes=rows, next_page_token=token)

    async def DrainNode(self, request: pb.DrainNodeRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Node:
        """The node, taken out of placement or put back."""
        id_ = translate.id_in(request.name, "nodes")
        node = await asyncio.to_thread(self._catalogue.nodes.drain, id_, request.drain)
        log.info("node_drained" if request.drain else "node_undrained", node=id_)
        return self._node(node)

    def _node(self, record: Node) -> pb.Node:
        return translate.node(record, alive=is_alive(record, self._node_timeout_seconds))


def delete_tenant(catalogue: Catalogue, objects: ObjectStore, id_: str) -> None:
    """Deletes the tenant with what broken-off calls left of it in the store. Blocks.

    TenantMissing: there is nothing in the store either; TenantInUse. Where the store is away it can be repeated.
    """
    # Listed before the catalogue says that no row names any of it: a new tenant of that id may put more at any time.
    left = [key for prefix in keys.tenant(id_) for key in objects.list(prefix)]
    try:
        catalogue.tenants.delete(id_)
    except TenantMissing:
        if not left:
            raise
    objects.delete(left)
