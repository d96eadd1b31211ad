"""Serves google.longrunning.Operations: the tenant's trainings and deletions."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import grpc
from google.longrunning import operations_pb2 as pb
from google.longrunning import operations_pb2_grpc
from google.protobuf import empty_pb2

from lift.errors import AdapterMissing, InvalidOption
from lift.values import JobKind, JobState
from server.gateway import listings, translate
from server.gateway.auth import caller
from server.gateway.watches import Watches
from storage.catalogue import Catalogue
from storage.records import Adapter, Job

MAX_WAIT_SECONDS = 3540.0
MARGIN_SECONDS = 0.5


def operations_of(catalogue: Catalogue, jobs: Iterable[Job]) -> Sequence[pb.Operation]:
    """Operations with their responses; each adapter is read once. Blocks."""
    adapters: dict[str, Adapter | None] = {}
    made = []
    for job in jobs:
        if _responds_with_adapter(job) and job.adapter not in adapters:
            adapters[job.adapter] = _adapter(catalogue, job)
        made.append(translate.operation(job, adapters.get(job.adapter) if _responds_with_adapter(job) else None))
    return made


async def operation_of(catalogue: Catalogue, job: Job) -> pb.Operation:
    """The operation of one job."""
    return (await asyncio.to_thread(operations_of, catalogue, [job]))[0]


class OperationsService(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc] # google's stub has no types
    """google.longrunning.Operations."""

    def __init__(self, catalogue: Catalogue, watches: Watches) -> None:
        self._catalogue = catalogue
        self._watches = watches

    async def GetOperation(
        self, request: pb.GetOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Operation:
        """One operation."""
        id_ = translate.id_in(request.name, "operations")
        job = await asyncio.to_thread(self._catalogue.jobs.get, caller().id, id_)
        return await operation_of(self._catalogue, job)

    async def ListOperations(
        self, request: pb.ListOperationsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListOperationsResponse:
        """A page of operations, newest first. There are no filters."""
        if request.filter or request.return_partial_success or request.name not in {"", "operations"}:
            raise InvalidOption(option="filter", expected="no filter, and the name `operations`")
        listed, shown = partial(self._catalogue.jobs.list, caller().id), partial(operations_of, self._catalogue)
        rows, token = await listings.page(request, listed, shown)
        return pb.ListOperationsResponse(operations=rows, next_page_token=token)

    async def CancelOperation(
        self, request: pb.CancelOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> empty_pb2.Empty:
        """Asks a training to stop; a deletion goes on."""
        id_ = translate.id_in(request.name, "operations")
        await asyncio.to_thread(self._catalogue.jobs.request_cancel, caller().id, id_)
        return empty_pb2.Empty()

    async def DeleteOperation(
        self, request: pb.DeleteOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> empty_pb2.Empty:
        """Forgets an operation that has ended."""
        id_ = translate.id_in(request.name, "operations")
        await asyncio.to_thread(self._catalogue.jobs.delete, caller().id, id_)
        return empty_pb2.Empty()

    async def WaitOperation(
        self, request: pb.WaitOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Operation:
        """The operation once it has ended, or as it is when the time is up."""
        id_ = translate.id_in(request.name, "operations")
        job = await self._watches.ended(caller().id, id_, _wait_seconds(request, context))
        return await operation_of(self._catalogue, job)


def _wait_seconds(request: pb.WaitOperationRequest, context: grpc.aio.ServicerContext[Any, Any]) -> float:
    """The shorter of the wanted timeout and the call's deadline, less what the answer takes on its way."""
    wanted = request.timeout.seconds + request.timeout.nanos / 1e9 if request.HasField("timeout") else MAX_WAIT_SECONDS
    left = context.time_remaining()
    return min(wanted, MAX_WAIT_SECONDS, MAX_WAIT_SECONDS if left is None else left - MARGIN_SECONDS)


def _responds_with_adapter(job: Job) -> bool:
    return job.kind is JobKind.TRAIN and job.state is JobState.SUCCEEDED


def _adapter(catalogue: Catalogue, job: Job) -> Adapter | None:
    try:
        return catalogue.adapters.get(job.tenant, job.adapter)
    except AdapterMissing:
        return None  # deleted since: the operation outlives what it made
