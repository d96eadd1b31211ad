"""Turns what the catalogue says is waiting into wake-ups, again and again: the only recovery there is."""

import threading
from types import TracebackType
from typing import Self

import structlog

from lift.errors import CatalogueUnavailable
from lift.values import JobKind
from storage.catalogue import Catalogue
from storage.wakeups import Wakeups

BATCH = 100
NODE_SILENT_SECONDS = 86_400.0
"""An engine that was silent for a day is gone: under its name, should it come back, it reports itself anew."""
BEHIND_OTHERS = 30  # times as long a wake-up may take where others wait

log = structlog.get_logger()


class Sweeper:
    """A thread that sweeps while its `with` block lasts."""

    def __init__(
        self, catalogue: Catalogue, wakeups: Wakeups, *, every_seconds: float, patience_seconds: float
    ) -> None:
        """`patience_seconds`: how long a wake-up may take before it is sent again, and a lease before it is renewed."""
        self._catalogue = catalogue
        self._wakeups = wakeups
        self._every_seconds = every_seconds
        self._patience_seconds = patience_seconds
        self._away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def sweep(self) -> int:
        """Wakes every training job that is queued, waiting and due, or left by a dead worker; how many.

        A second time later where wake-ups wait: while the trainers are busy, more of the same would stand before new
        jobs; but one that is lost may be behind a queue that never runs dry.
        """
        again = self._patience_seconds * (BEHIND_OTHERS if self._wakeups.waiting() else 1)
        due = self._catalogue.leases.due(JobKind.TRAIN, BATCH, woken_before=again)
        for job in due:
            self._wakeups.wake(job)
        return len(due)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            try:
                if self._away:
                    self._let_renew()
                if count := self.sweep():
                    log.info("jobs_woken", count=count)
                if gone := self._catalogue.nodes.forget(NODE_SILENT_SECONDS):
                    log.info("nodes_forgotten", nodes=gone)
            except Exception as error:
                self._away = self._away or isinstance(error, CatalogueUnavailable)
                log.warning("sweep_failed", error=type(error).__name__)

    def _let_renew(self) -> None:
        """Leaves those who hold jobs the time to renew leases that ran out in an outage. CatalogueUnavailable."""
        self._catalogue.leases.joinable(1, 0)
        self._away = False
        self._stopping.wait(self._patience_seconds)
