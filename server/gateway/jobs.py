"""Turns jobs into operations, and the catalogue's changing rows into streams of changes."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress

from google.longrunning import operations_pb2

from lift.errors import AdapterMissing
from server.gateway import translate
from server.gateway.places import Places
from storage.catalogue import Catalogue
from storage.records import Adapter, Job, JobKind, JobState

POLL_SECONDS = 0.2
MAX_WATCHES = 256


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


class Watches:
    """Jobs as they change. All who watch one job share the polls of it; a tenant has MAX_WATCHES at once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._places = Places("concurrent_watches")
        self._polls: dict[tuple[str, str], asyncio.Task[Job]] = {}

    async def changes(self, tenant: str, id_: str) -> AsyncGenerator[Job]:
        """The job now, then at each change, until it has ended. QuotaExceeded; JobMissing, also if deleted since."""
        with self._places.held_by(tenant, MAX_WATCHES):
            last = await asyncio.to_thread(self._catalogue.jobs.get, tenant, id_)
            yield last
            while last.state.active:
                job = await self._polled(tenant, id_)
                if job != last:
                    last = job
                    yield job

    async def ended(self, tenant: str, id_: str, timeout_seconds: float) -> Job:
        """The job once it has ended, or as it was last seen before the timeout. QuotaExceeded, JobMissing."""
        with self._places.held_by(tenant, MAX_WATCHES):
            job = await asyncio.to_thread(self._catalogue.jobs.get, tenant, id_)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    while job.state.active:
                        job = await self._polled(tenant, id_)
            return job

    async def close(self) -> None:
        """Ends the polls that are under way."""
        for poll in self._polls.values():
            poll.cancel()
        await asyncio.gather(*self._polls.values(), return_exceptions=True)

    async def _polled(self, tenant: str, id_: str) -> Job:
        """The job at the next poll, which somebody may await already. Nobody polls on where nobody asks again."""
        poll = self._polls.get((tenant, id_))
        if poll is None:
            poll = self._polls[tenant, id_] = asyncio.create_task(self._poll(tenant, id_))
            poll.add_done_callback(lambda done: done.cancelled() or done.exception())  # all who waited may have left
        return await asyncio.shield(poll)

    async def _poll(self, tenant: str, id_: str) -> Job:
        try:
            await asyncio.sleep(POLL_SECONDS)
            return await asyncio.to_thread(self._catalogue.jobs.get, tenant, id_)
        finally:
            del self._polls[tenant, id_]


def _responds_with_adapter(job: Job) -> bool:
    return job.kind is JobKind.TRAIN and job.state is JobState.SUCCEEDED


def _adapter(catalogue: Catalogue, job: Job) -> Adapter | None:
    try:
        return catalogue.adapters.get(job.tenant, job.adapter)
    except AdapterMissing:
        return None  # deleted since: the operation outlives what it made
