"""Turns single entries into the journal's chunks, by the one thread that writes to it."""

import queue
import threading
import time
from collections.abc import Sequence

from storage.journal import Entry, Journal, Outcome

FLUSH_SECONDS = 1.0  # an entry is in the store at most this long after it came
FLUSH_ENTRIES = 256


class Recorder:
    """Appends what it is given to a journal, in order."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> None:
        """Takes the entry; raises what an earlier append failed with, such as StoreUnavailable."""
        if self._error is not None:
            raise self._error
        self._entries.put(entry)

    def close(self) -> None:
        """Returns when everything is in the journal; raises what an append failed with."""
        self._entries.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        closed = False
        try:
            while not closed:
                entries, closed = self._chunk()
                if entries:
                    self._journal.append(entries)
        except Exception as error:
            self._error = error

    def _chunk(self) -> tuple[Sequence[Entry], bool]:
        """The next entries to append, and whether they are the last."""
        entries: list[Entry] = []
        due = float("inf")
        while len(entries) < FLUSH_ENTRIES:
            try:
                entry = self._entries.get(timeout=max(0.0, due - time.monotonic()) if entries else None)
            except queue.Empty:
                break
            if entry is None:
                return entries, True
            entries.append(entry)
            due = min(due, time.monotonic() + FLUSH_SECONDS)
            # An outcome makes its sentence's pairs safe: without it, a later attempt writes them anew.
            if isinstance(entry, Outcome) and self._entries.empty():
                break
        return entries, False
