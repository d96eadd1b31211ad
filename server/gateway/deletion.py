"""Turns the catalogue's deletion jobs into nothing left: out of every engine, out of the object store, then its rows.

Every step can be repeated and the rows go last: a gateway that dies in the middle leaves a job for the next one.
"""

import asyncio
from collections.abc import AsyncGenerator

import grpc
import structlog
from structlog.contextvars import bound_contextvars as bound

from lift.errors import LeaseLost, LiftError, Unavailable
from lift.ids import new_id
from lift.internal.v1 import engine_pb2 as pb
from lift.values import JobKind
from server.gateway.nodes import Nodes
from server.gateway.routing import shown
from storage import keys
from storage.catalogue import Catalogue
from storage.objects import ObjectStore
from storage.records import Job, Lease, Node, RevisionRef
from storage.refs import to_message

log = structlog.get_logger()

SWEEP_SECONDS = 1.0
LEASE_SECONDS = 120.0
RETRY_SECONDS = 2.0
UNLOAD_SECONDS = 90.0
AT_ONCE = 8


class Deletions:
    """Starts deletions, and finishes those that any gateway started."""

    def __init__(self, catalogue: Catalogue, objects: ObjectStore, nodes: Nodes) -> None:
        self._catalogue = catalogue
        self._objects = objects
        self._nodes = nodes
        self._worker = new_id("gateway")

    def start(self, tenant: str, adapter: str) -> Job:
        """The job that deletes the adapter, which nobody can ask from now on. AdapterMissing. Blocks."""
        job = self._catalogue.adapters.start_deletion(tenant, adapter)
        log.info("deletion_started", adapter=adapter, job=job.id)
        return job

    async def run(self) -> None:
        """Sweeps for ever. One that takes long, as where an engine drains, holds up no other."""
        going: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    async for lease in self._claimed(AT_ONCE - len(going)):
                        going.add(group.create_task(self._finish(lease)))
                except Exception:  # a catalogue that is away for a while must not end the sweeping
                    log.exception("sweep_failed")
                if len(going) < AT_ONCE:
                    await asyncio.sleep(SWEEP_SECONDS)
                else:
                    await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
                going = {task for task in going if not task.done()}

    async def _claimed(self, limit: int) -> AsyncGenerator[Lease]:
        """Deletions that are due and that nobody else holds."""
        leases = self._catalogue.leases
        for id_ in await asyncio.to_thread(leases.due, JobKind.DELETE, limit, woken_before=0):
            lease = await asyncio.to_thread(leases.claim, id_, JobKind.DELETE, self._worker, LEASE_SECONDS)
            if lease is not None:
                yield lease

    async def _finish(self, lease: Lease) -> None:
        with bound(tenant=lease.job.tenant, adapter=lease.job.adapter, job=lease.job.id):
            try:
                await self._try(lease)
            except Exception:  # it is due again once its lease is over; the others go on
                log.exception("deletion_failed")

    async def _try(self, lease: Lease) -> None:
        try:
            await self._unload(lease)
            await asyncio.to_thread(self._remove, lease)
        except LeaseLost:
            log.warning("deletion_lost")
        except LiftError as error:
            log.warning("deletion_waits", reason=error.reason())
            await asyncio.to_thread(self._catalogue.leases.wait, lease, str(error), RETRY_SECONDS)

    async def _unload(self, lease: Lease) -> None:
        """Takes every revision out of every living engine, since a node may hold more than it last reported.

        Also such as a training loaded and did not publish: they are in the store, or were reported.
        """
        nodes = await self._nodes.alive()
        for ref in await asyncio.to_thread(self._loaded, lease.job):
            await asyncio.to_thread(self._catalogue.leases.heartbeat, lease, LEASE_SECONDS)
            await asyncio.gather(*(self._unload_from(node, ref) for node in nodes))

    async def _unload_from(self, node: Node, ref: RevisionRef) -> None:
        request = pb.UnloadRevisionRequest(revision=to_message(ref))
        try:
            engine = self._nodes.engine(node)
            await engine.UnloadRevision(request, metadata=self._nodes.metadata, timeout=UNLOAD_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(node=node.id, problem=shown(error, node).reason()) from error

    def _loaded(self, job: Job) -> set[RevisionRef]:
        """What an engine may hold of the adapter."""
        prefix = keys.revisions(job.tenant, job.adapter)
        digests = {key.removeprefix(prefix).split("/")[0] for key in self._objects.list(prefix)}
        stored = {RevisionRef(tenant=job.tenant, adapter=job.adapter, digest=digest) for digest in digests}
        catalogue, adapter = self._catalogue, (job.tenant, job.adapter)
        return {*catalogue.revisions.of_adapter(*adapter), *stored, *catalogue.nodes.residents_of(*adapter)}

    def _remove(self, lease: Lease) -> None:
        job = lease.job
        journals = [
            keys.journal(job.tenant, training) for training in self._catalogue.jobs.of_adapter(job.tenant, job.adapter)
        ]
        for prefix in (keys.adapter(job.tenant, job.adapter), *journals):
            self._catalogue.leases.heartbeat(lease, LEASE_SECONDS)
            self._objects.delete(self._objects.list(prefix))
        self._catalogue.adapters.finish_deletion(lease)
        log.info("adapter_deleted")
