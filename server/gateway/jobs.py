"""Turns jobs into operations, and the catalogue's changing rows into streams of changes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Sequence

from google.longrunning import operations_pb2

from lift.errors import AdapterMissing
from server.gateway import translate
from storage.catalogue import Catalogue
from storage.records import Adapter, Job, JobKind, JobState

POLL_SECONDS = 0.2


def operations_of(catalogue: Catalogue, jobs: Iterable[Job]) -> Sequence[operations_pb2.Operation]:
    """Operations with their responses; each adapter is read once. Blocks."""
    adapters: dict[str, Adapter | None] = {}
    made = []
    for job in jobs:
        if _responds_with_adapter(job) and job.adapter not in adapters:
            adapters[job.adapter] = _adapter(catalogue, job)
        made.append(translate.operation(job, adapters.get(job.adapter) if _responds_with_adapter(job) else None))
    return made


async def operation_of(catalogue: Catalogue, job: Job) -> operations_pb2.Operation:
    """The operation of one job."""
    return (await asyncio.to_thread(operations_of, catalogue, [job]))[0]


async def changes(catalogue: Catalogue, tenant: str, id_: str) -> AsyncGenerator[Job]:
    """The job now, then at each change, until it has ended. JobMissing, also where it is deleted meanwhile."""
    last: Job | None = None
    while last is None or last.state.active:
        job = await asyncio.to_thread(catalogue.jobs.get, tenant, id_)
        if job != last:
            last = job
            yield job
        else:
            await asyncio.sleep(POLL_SECONDS)


async def ended(catalogue: Catalogue, tenant: str, id_: str, timeout_seconds: float) -> Job:
    """The job once it has ended, or as it is after the timeout. JobMissing."""
    until = time.monotonic() + timeout_seconds
    while True:
        job = await asyncio.to_thread(catalogue.jobs.get, tenant, id_)
        left = until - time.monotonic()
        if not job.state.active or left <= 0:
            return job
        await asyncio.sleep(min(POLL_SECONDS, left))


def _responds_with_adapter(job: Job) -> bool:
    return job.kind is JobKind.TRAIN and job.state is JobState.SUCCEEDED


def _adapter(catalogue: Catalogue, job: Job) -> Adapter | None:
    try:
        return catalogue.adapters.get(job.tenant, job.adapter)
    except AdapterMissing:
        return None  # deleted since: the operation outlives what it made
