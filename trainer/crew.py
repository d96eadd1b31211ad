"""Runs the job of a wake-up and, while that lasts, others that wait: short documents do not queue behind long ones."""

import threading
from collections.abc import Callable, Sequence

import structlog

LOOK_SECONDS = 0.5

log = structlog.get_logger()


class Crew:
    """Jobs in threads of one process, at most `at_once()` of them.

    Should the process die of one of them, all of them are claimed again when their leases run out. A job that has seen
    that once has the next process to itself: who names those that may join sees to that.
    """

    def __init__(
        self, run: Callable[[str], None], joinable: Callable[[int], Sequence[str]], at_once: Callable[[], int]
    ) -> None:
        """`run` does one job, or nothing where somebody else has it; `joinable` names at most so many that wait."""
        self._run = run
        self._joinable = joinable
        self._at_once = at_once

    def run(self, job: str) -> None:
        """Does the job and those that join it; returns when none is left."""
        threads = {job: self._begun(job)}
        while threads:
            if (room := self._at_once() - len(threads)) > 0:
                threads |= {other: self._begun(other) for other in self._others(room) if other not in threads}
            next(iter(threads.values())).join(LOOK_SECONDS)
            threads = {id: thread for id, thread in threads.items() if thread.is_alive()}

    def _begun(self, job: str) -> threading.Thread:
        thread = threading.Thread(target=self._do, args=[job], name=job)
        thread.start()
        return thread

    def _do(self, job: str) -> None:
        try:
            self._run(job)
        except Exception:
            log.exception("job_crashed", job=job)  # its lease runs out, as if the process had died

    def _others(self, room: int) -> Sequence[str]:
        try:
            return self._joinable(room)
        except Exception as error:
            log.warning("others_unknown", error=type(error).__name__)
            return ()
