"""Turns more than there is room for into fair lines: tenants take turns, whatever each of them sends."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lift.errors import QueueFull


class Admission:
    """At most `max_waiting` queries in the line, over all tenants, before as much room as there is at the time."""

    def __init__(self, *, max_waiting: int) -> None:
        self._room = 0
        self._max_waiting = max_waiting
        self._running = 0
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def running(self) -> int:
        """Queries that have a place; asked from any thread, as is the next."""
        return self._running

    @property
    def waiting(self) -> int:
        """Queries in the line."""
        return sum(map(len, tuple(self._lines.values())))  # a copy, which no other thread changes

    @asynccontextmanager
    async def admitted(self, tenant: str, room: int) -> AsyncIterator[None]:
        """Holds one of the places, of which there are `room` from now on. QueueFull."""
        self._room = room
        self._call_next()  # whoever waits has been here longer
        await self._enter(tenant)
        try:
            yield
        finally:
            self._leave_place()

    @asynccontextmanager
    async def outside(self, tenant: str) -> AsyncIterator[None]:
        """Gives up the place that an admitted query holds, and has it stand in the line again behind the block.

        For what it waits for somewhere else. QueueFull.
        """
        self._leave_place()
        try:
            yield
            await self._enter(tenant)
        except BaseException:
            self._running += 1  # has a place again, out of turn: to give it back, or to ask another engine
            raise

    def _leave_place(self) -> None:
        self._running -= 1
        self._call_next()

    async def _enter(self, tenant: str) -> None:
        if self._running < self._room:
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
        if self.waiting >= self._max_waiting:
            self._forget_the_gone()
        if self.waiting < self._max_waiting:
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
        while self._running < self._room and self._lines:
            tenant, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[tenant] = line
            if not turn.done():  # a query that was cancelled and has not run since stands in the line still
                self._running += 1
                turn.set_result(None)
