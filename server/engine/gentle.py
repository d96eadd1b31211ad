"""Reads from a store a little at a time while others wait for the processors of this machine.

That the reader stands back is not enough where the store is on the same machine: it does most of the work, as much of
it at once as the system's buffers hold, and every piece of an engine's step waits for the thread whose processor the
store has. So an object is read in parts, the shorter and further apart the more others wait.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from lift.errors import ObjectMissing
from storage.s3 import S3Objects

PRESSURE = Path("/proc/pressure/cpu")  # Linux 4.20 and later; elsewhere nobody is known to wait
LEAST_BYTES, MOST_BYTES = 1 << 20, 1 << 26  # of a part
PAUSE_SECONDS = 0.01
TOLERATED = 0.5  # of the time, with somebody waiting; a store and its reader alone wait for each other for some of it


class GentleObjects(S3Objects):
    """Objects come in parts, each twice as long as the one before, until one came at somebody's cost."""

    def stream(self, key: str, chunk_bytes: int) -> Iterator[bytes]:
        size = self.size(key)
        if size is None:
            raise ObjectMissing(key=key)
        start, part = 0, LEAST_BYTES
        while start < size:
            began, waited = time.monotonic(), _waited_seconds()
            yield from self.stream_part(key, chunk_bytes, start=start, size=min(part, size - start))
            start, part = start + part, min(2 * part, MOST_BYTES)
            if _waited_seconds() - waited > TOLERATED * (time.monotonic() - began):
                part = LEAST_BYTES
                time.sleep(PAUSE_SECONDS)


def _waited_seconds() -> float:
    """For how long something on this machine has waited for a processor, since it started (PSI, psi.txt of Linux)."""
    try:
        some = PRESSURE.read_text().partition("\n")[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6
