"""Keeps revisions on this machine's disk once an engine has made room for others, until they are asked for again."""

import asyncio
import shutil
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from server.engine import metrics
from server.engine.loading import Prepared
from storage.records import RevisionRef


class _Kept(NamedTuple):
    prepared: Prepared
    size_bytes: int


class DiskCache:
    """Folders of revisions that no engine has; of more than `max_bytes` those that were used longest ago go first.

    What is kept was fetched and checked, and is neither again. It does not outlive the engine, which finds its folder
    empty when it starts.
    """

    def __init__(self, prepare: Callable[[RevisionRef], Awaitable[Prepared]], max_bytes: int) -> None:
        """`prepare`: fetches and checks a revision that is not here."""
        self._prepare = prepare
        self._max_bytes = max_bytes
        self._kept: OrderedDict[RevisionRef, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Of all that are kept; asked from any thread."""
        return sum(kept.size_bytes for kept in tuple(self._kept.values()))

    async def take(self, ref: RevisionRef) -> Prepared:
        """A revision for an engine; it is not kept any more. RevisionMissing, RevisionRejected, StoreUnavailable."""
        if (kept := self._kept.pop(ref, None)) is None:
            return await self._prepare(ref)
        return replace(kept.prepared, fetch_seconds=0.0, validate_seconds=0.0)

    async def keep(self, prepared: Prepared) -> None:
        """Takes back a revision that no engine has any more."""
        self._kept[prepared.ref] = _Kept(prepared, await asyncio.to_thread(_size, prepared.folder))
        while self.size_bytes > self._max_bytes:
            metrics.EVICTIONS.labels("disk").inc()
            await self.forget(next(iter(self._kept)))

    async def forget(self, ref: RevisionRef) -> None:
        """Deletes a revision, if it is kept."""
        if (kept := self._kept.pop(ref, None)) is not None:
            await discard(kept.prepared.folder)


async def discard(folder: Path) -> None:
    """Deletes a revision's folder, which no engine may know any more; a large file's end takes a while."""
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
