"""Keeps the revisions that answer: who is in, who uses it, who has to go for the next one.

A revision is admitted once it is loaded and has written a token. It leaves in a fixed order: no new holders → those
there finish, or are aborted → out of the engine → its files are deleted, or kept for the next time where it only made
room. vLLM reloads an adapter that a running request names, so files that went too early would end the engine.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import structlog

from lift.errors import LiftError, RevisionNotResident, SlotsFull
from lift.logs import bound
from server.engine import metrics
from server.engine.disk_cache import DiskCache, discard
from server.engine.llm import LLM, Adapter
from server.engine.loading import Prepared, load_probed
from storage.records import RevisionRef

log = structlog.get_logger()

ABORT_SECONDS = 5.0
REMOVALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSeconds:
    """What a load took. `load` is the engine's part, with the probe."""

    fetch: float
    validate: float
    load: float


@dataclass(slots=True, kw_only=True)
class Slot:
    """One resident revision."""

    prepared: Prepared
    adapter: Adapter
    holders: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Leaving:
    """A revision on its way out."""

    slot: Slot
    task: asyncio.Task[None]


class Slots:
    """At most `capacity` revisions in one engine; those used longest ago are first to go."""

    def __init__(
        self,
        llm: LLM,
        disk: DiskCache,
        *,
        capacity: int,
        drain_seconds: float,
        first_number: int = 1,
    ) -> None:
        self._llm = llm
        self._disk = disk
        self._capacity = capacity
        self._drain_seconds = drain_seconds
        self._numbers = count(first_number)
        self._resident: OrderedDict[RevisionRef, Slot] = OrderedDict()
        self._loading: dict[RevisionRef, asyncio.Task[LoadSeconds]] = {}
        self._leaving: dict[RevisionRef, Leaving] = {}
        self._filling = asyncio.Lock()

    @property
    def resident(self) -> tuple[RevisionRef, ...]:
        """Those that answer, the one used longest ago first."""
        return tuple(self._resident)

    @asynccontextmanager
    async def holding(self, ref: RevisionRef) -> AsyncIterator[Slot]:
        """Keeps a revision in for the length of the block. RevisionNotResident."""
        slot = self._resident.get(ref)
        if slot is None:
            raise RevisionNotResident(adapter=ref.adapter, revision=ref.digest)
        self._resident.move_to_end(ref)
        slot.holders += 1
        slot.idle.clear()
        try:
            yield slot
        finally:
            slot.holders -= 1
            if not slot.holders:
                slot.idle.set()

    async def load(self, ref: RevisionRef) -> LoadSeconds | None:
        """Makes a revision resident; None where it was. All who ask meanwhile wait for one load.

        RevisionMissing, RevisionRejected, SlotsFull, StoreUnavailable, EngineUnavailable.
        """
        while leaving := self._leaving.get(ref):
            await asyncio.wait([leaving.task])
        if ref in self._resident:
            self._resident.move_to_end(ref)
            return None
        if ref not in self._loading:
            loading = asyncio.create_task(self._load(ref))
            self._loading[ref] = loading
            loading.add_done_callback(lambda done: self._end_loading(ref, done))
        return await asyncio.shield(self._loading[ref])

    async def unload(self, ref: RevisionRef) -> bool:
        """Takes a revision out and deletes its files; whether it was in. EngineUnavailable."""
        if loading := self._loading.get(ref):
            await asyncio.wait([loading])
        slot = self._resident.get(ref)
        if slot is not None:
            self._start_leaving(slot, self._drain_seconds, keep=False)
        if leaving := self._leaving.get(ref):
            await asyncio.shield(leaving.task)
        await self._disk.forget(ref)
        return slot is not None

    def _end_loading(self, ref: RevisionRef, loading: asyncio.Task[LoadSeconds]) -> None:
        del self._loading[ref]
        # Everybody who asked may have gone: then nobody else would look at what went wrong.
        error = None if loading.cancelled() else loading.exception()
        if error is not None:
            metrics.LOAD_FAILURES.labels(error.reason() if isinstance(error, LiftError) else "INTERNAL_ERROR").inc()

    async def _load(self, ref: RevisionRef) -> LoadSeconds:
        with bound(tenant=ref.tenant, adapter=ref.adapter, revision=ref.digest):
            asked_at = time.monotonic()
            self._check_room()
            prepared = await self._disk.take(ref)
            began = time.monotonic()
            async with self._filling:
                await self._admit(prepared)
            ended = time.monotonic()
            load_seconds = ended - began
            metrics.LOAD_SECONDS.observe(ended - asked_at)
            log.info(
                "revision_loaded",
                fetch_seconds=round(prepared.fetch_seconds, 3),
                validate_seconds=round(prepared.validate_seconds, 3),
                load_seconds=round(load_seconds, 3),
            )
        return LoadSeconds(fetch=prepared.fetch_seconds, validate=prepared.validate_seconds, load=load_seconds)

    async def _admit(self, prepared: Prepared) -> None:
        """Into the engine, probed, and open to holders; where any of it fails, out again with all traces."""
        ref = prepared.ref
        name = "/".join((ref.tenant, ref.adapter, ref.digest))
        adapter = Adapter(number=next(self._numbers), name=name, folder=prepared.folder)
        try:
            await self._make_room()
            await load_probed(self._llm, adapter)
        except BaseException as error:
            log.warning("revision_refused", reason=type(error).__name__)
            if await self._take_out(adapter):
                await discard(adapter.folder)
            raise
        slot = Slot(prepared=prepared, adapter=adapter)
        slot.idle.set()
        self._resident[ref] = slot

    def _check_room(self) -> None:
        """Fails before anything is fetched. SlotsFull."""
        if len(self._resident) >= self._capacity and all(slot.holders for slot in self._resident.values()):
            raise SlotsFull(slots=self._capacity)

    async def _make_room(self) -> None:
        """Sends the idle one that was used longest ago, unless another leaves that nobody holds, and waits for one.

        SlotsFull: all are held, and none leaves.
        """
        while len(self._resident) + len(self._leaving) >= self._capacity:
            if all(leaving.slot.holders for leaving in self._leaving.values()):
                oldest = next((slot for slot in self._resident.values() if not slot.holders), None)
                if oldest is not None:
                    metrics.EVICTIONS.labels("memory").inc()
                    self._start_leaving(oldest, drain_seconds=0, keep=True)
                elif not self._leaving:
                    raise SlotsFull(slots=self._capacity)
            tasks = [leaving.task for leaving in self._leaving.values()]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    def _start_leaving(self, slot: Slot, drain_seconds: float, *, keep: bool) -> None:
        ref = slot.prepared.ref
        del self._resident[ref]
        leaving = asyncio.create_task(self._leave(slot, drain_seconds, keep))
        self._leaving[ref] = Leaving(slot, leaving)
        leaving.add_done_callback(lambda _: self._leaving.pop(ref))

    async def _leave(self, slot: Slot, drain_seconds: float, keep: bool) -> None:
        ref = slot.prepared.ref
        with bound(tenant=ref.tenant, adapter=ref.adapter, revision=ref.digest):
            if not await _within(drain_seconds, slot.idle):
                log.warning("answers_aborted", answers=slot.holders)
                await self._llm.abort(slot.adapter)
                await _within(ABORT_SECONDS, slot.idle)  # one that nobody reads may still stand, but writes no more
            if await self._take_out(slot.adapter):
                await (self._disk.keep(slot.prepared) if keep else discard(slot.adapter.folder))
            log.info("revision_unloaded")

    async def _take_out(self, adapter: Adapter) -> bool:
        """Out of the engine; whether it is, and its files may go."""
        try:
            for _ in range(REMOVALS):
                await self._llm.remove(adapter)
                if adapter.number not in await self._llm.resident():
                    return True
            log.error("adapter_stuck", adapter_number=adapter.number)
        except LiftError as error:
            log.error("adapter_not_removed", adapter_number=adapter.number, reason=error.reason())
        return False


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether the event came about in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
