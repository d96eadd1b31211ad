"""Closes HTTP connections that do not ask: each takes a place and memory before its key is known."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 30.0


class TimedHeads(H11Protocol):
    """A request's head, headers included, has HEAD_SECONDS from its first byte, or from the connection's beginning."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Expects a head: `transport` is closed where none comes."""
        super().connection_made(transport)
        self._expected: asyncio.TimerHandle | None = self.loop.call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Expects a head until it is whole, and the next one from where it begins."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_none()
        elif self._expected is None:
            self._expected = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expects none."""
        self._expect_none()
        super().connection_lost(exc)

    def _expect_none(self) -> None:
        if self._expected is not None:
            self._expected.cancel()
        self._expected = None
