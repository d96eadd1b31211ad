"""Turns who comes into who has a place: so many for each tenant, and who has all of them is refused, or waits."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from lift.errors import QuotaExceeded


class Places:
    """Who has all of a tenant's places is refused. `quota` is what the refusal names."""

    def __init__(self, quota: str) -> None:
        self._quota = quota
        self._held: Counter[str] = Counter()

    @contextmanager
    def held_by(self, tenant: str, limit: int) -> Iterator[None]:
        """Holds one of the tenant's `limit` places; 0 means no limit. QuotaExceeded."""
        if limit and self._held[tenant] >= limit:
            raise QuotaExceeded(quota=self._quota, limit=limit)
        self._held[tenant] += 1
        try:
            yield
        finally:
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]


class Rooms:
    """Who has all of a tenant's places waits for one of them."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant: str) -> asyncio.Semaphore:
        """The tenant's room, which is there for as long as somebody uses it."""
        room = self._rooms.get(tenant)
        if room is None:
            room = self._rooms[tenant] = asyncio.Semaphore(self._places)
        return room
