"""Turns a lease into a job that is really held: renewed and reported by a thread, given up the moment it must be."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

import structlog

from lift.errors import CatalogueUnavailable, JobCancelled, LeaseLost, LiftError
from storage.catalogue.leases import Leases
from storage.records import Lease, Progress
from trainer import metrics

P = ParamSpec("P")
T = TypeVar("T")

PROGRESS_SECONDS = 1.0  # what a watching client sees is at most this old
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0

log = structlog.get_logger()


class Stopping(Exception):
    """The trainer is being stopped: the job goes back to the queue."""


class Watch(Protocol):
    """Who hears how work goes, and says whether it may go on."""

    def check(self) -> None:
        """Raises what the work must end with."""

    def report(self, **changes: Any) -> None:
        """Changes fields of the work's progress."""

    def took(self, **seconds: float) -> None:
        """Sets seconds of stages, by the names of lift.v1.StageSeconds."""


class Hold:
    """Keeps a lease while its `with` block lasts; `check` says whether the work may go on."""

    def __init__(self, leases: Leases, lease: Lease, *, lease_seconds: float, stopping: Callable[[], bool]) -> None:
        self.lease = lease
        self._leases = leases
        self._lease_seconds = lease_seconds
        self._stopping = stopping
        self._progress = Progress()
        self._verdict: LiftError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def check(self, *, finishing: bool = False) -> None:
        """LeaseLost, JobCancelled or Stopping where the work must end; cheap enough for every step.

        `finishing`: what is left takes less time than another worker would need for all of it, so a stop must wait.
        """
        if self._stopping() and not finishing:
            raise Stopping
        if self._verdict is not None:
            raise self._verdict

    def report(self, **changes: Any) -> None:
        """Changes fields of the job's progress; the next heartbeat stores it."""
        self._progress = replace(self._progress, **changes)

    def took(self, **seconds: float) -> None:
        """Sets seconds of stages, by the names of lift.v1.StageSeconds."""
        self.report(seconds={**self._progress.seconds, **seconds})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the seconds of the block, where it ends well, to those of a stage."""
        began_at = time.monotonic()
        yield
        seconds = time.monotonic() - began_at
        metrics.STAGE_SECONDS.labels(stage).inc(seconds)
        self.took(**{stage: self._progress.seconds.get(stage, 0.0) + seconds})

    def beat(self) -> None:
        """Renews the lease and stores the progress now; what that says is what `check` raises.

        A catalogue that is away says nothing: whether the lease is lost it says when it is back.
        """
        try:
            if self._leases.heartbeat(self.lease, self._lease_seconds, self._progress):
                self._verdict = JobCancelled(job=self.lease.job.id)
        except LeaseLost as lost:
            self._verdict = lost
        except CatalogueUnavailable:
            log.warning("heartbeat_missed")

    def insist(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns, which is made again as long as the catalogue is away.

        Stopping: it still is, and the trainer is being stopped.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                return call(*args, **kwargs)
            except CatalogueUnavailable:
                if self._stopping():
                    raise Stopping from None
                log.warning("catalogue_awaited", pause_seconds=pause_seconds)
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _run(self) -> None:
        while not self._ended.wait(min(self._lease_seconds / 3, PROGRESS_SECONDS)):
            self.beat()
