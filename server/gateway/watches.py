"""Turns the catalogue's changing jobs into streams of changes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from server.gateway.places import Places
from storage.catalogue import Catalogue
from storage.records import Job

POLL_SECONDS = 0.2
MAX_WATCHES = 256


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
