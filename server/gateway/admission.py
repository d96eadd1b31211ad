"""Turns more than there is room for into fair lines: tenants take turns, whatever each of them sends."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lift.errors import QueueFull, QuotaExceeded
from storage.records import Tenant


class Admission:
    """At most `max_running` queries at once, and `max_waiting` in the line, over all tenants."""

    def __init__(self, *, max_running: int, max_waiting: int) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._running = 0
        self._held: Counter[str] = Counter()
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def admitted(self, tenant: Tenant) -> AsyncIterator[None]:
        """Holds one of the places. QuotaExceeded: the tenant's queries are as many as it may have. QueueFull."""
        quota = tenant.quotas.max_concurrent_queries
        if quota and self._held[tenant.id] >= quota:
            raise QuotaExceeded(quota="max_concurrent_queries", limit=quota)
        self._held[tenant.id] += 1
        try:
            await self._enter(tenant.id)
            try:
                yield
            finally:
                self._running -= 1
                self._call_next()
        finally:
            self._held[tenant.id] -= 1
            if not self._held[tenant.id]:
                del self._held[tenant.id]

    async def _enter(self, tenant: str) -> None:
        if self._running < self._max_running:
            self._running += 1
            return
        self._make_room(tenant)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._running -= 1  # called and cancelled in the same instant: the place goes to the next
                self._call_next()
            else:
                self._leave(tenant, turn)
            raise

    def _make_room(self, tenant: str) -> None:
        """In a full line the tenant with the most queries gives up its newest; it may be the one that comes."""
        if sum(map(len, self._lines.values())) >= self._max_waiting:
            self._forget_the_gone()
        if sum(map(len, self._lines.values())) < self._max_waiting:
            return
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=tenant)
        if len(self._lines.get(longest, ())) <= len(self._lines.get(tenant, ())) + 1:
            raise QueueFull(limit=self._max_waiting)
        newest = self._lines[longest][-1]
        self._leave(longest, newest)
        newest.set_exception(QueueFull(limit=self._max_waiting))

    def _forget_the_gone(self) -> None:
        """Takes queries out of the lines that were cancelled and have not run since."""
        lines = ((tenant, deque(turn for turn in line if not turn.done())) for tenant, line in self._lines.items())
        self._lines = OrderedDict((tenant, line) for tenant, line in lines if line)

    def _leave(self, tenant: str, turn: asyncio.Future[None]) -> None:
        line = self._lines.get(tenant, deque())
        if turn in line:
            line.remove(turn)
        if not line:
            self._lines.pop(tenant, None)

    def _call_next(self) -> None:
        """Gives a free place to the first in the line of the tenant whose turn it is; that tenant goes to the end."""
        while self._running < self._max_running and self._lines:
            tenant, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[tenant] = line
            if not turn.done():  # a query that was cancelled and has not run since stands in the line still
                self._running += 1
                turn.set_result(None)


class Rooms:
    """A room for each tenant, with so many places; who comes to a full one waits for those before."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def place_of(self, tenant: str) -> AsyncIterator[None]:
        """Holds one of the tenant's places."""
        room = self._rooms.setdefault(tenant, asyncio.Semaphore(self._places))
        self._users[tenant] += 1
        try:
            async with room:
                yield
        finally:
            self._users[tenant] -= 1
            if not self._users[tenant]:
                del self._users[tenant], self._rooms[tenant]
