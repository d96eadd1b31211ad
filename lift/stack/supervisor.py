"""Turns a list of programs into running processes: in order, watched, restarted, and stopped in the reverse order."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog

from lift.errors import StackFailed
from lift.stack.children import Child, Guard, Program
from lift.stack.probes import ProbeKind
from lift.stack.record import ProcessRecord, ProcessState

log = structlog.get_logger()

PROBE_EVERY_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 60.0
"""A process that was ready for so long is started again after the first pause."""


class Supervisor:
    """Runs programs for as long as its block lasts.

    `changed` is called with all records at each change. A process that ends before it was ever ready fails the start;
    one that was ready is started again, after pauses that double.
    """

    def __init__(self, programs: Sequence[Program], changed: Callable[[tuple[ProcessRecord, ...]], None]) -> None:
        self._kept = {program.name: _Kept(program) for program in programs}
        self._changed = changed
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._guard = Guard()
        self._failure = asyncio.get_running_loop().create_future()
        for kept in self._kept.values():
            task = asyncio.create_task(self._keep(kept))
            task.add_done_callback(self._note_failure)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for kept in reversed(self._kept.values()):
            if kept.child is not None:
                await kept.child.stop()
                self._gone(kept, kept.child)
                log.info("process_stopped", process=kept.program.name)
            self._now(kept, ProcessState.STOPPED)
        await asyncio.to_thread(self._guard.close)

    async def ready(self) -> None:
        """Returns once every program is ready. StackFailed: one ended, or was not ready in time."""
        all_ready = asyncio.create_task(self._all_ready())
        try:
            await asyncio.wait([all_ready, self._failure], return_when=asyncio.FIRST_COMPLETED)
        finally:
            all_ready.cancel()
        if self._failure.done():
            self._failure.result()

    async def failed(self) -> None:
        """Returns never; raises where the supervisor cannot go on."""
        await self._failure

    async def _all_ready(self) -> None:
        for kept in self._kept.values():
            await kept.was_ready.wait()

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._failure.done():
            self._failure.set_exception(error)

    async def _keep(self, kept: "_Kept") -> None:
        for name in kept.program.after:
            await self._kept[name].was_ready.wait()
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            child = self._started(kept)
            ready_seconds, code = await self._lived(kept, child)
            self._gone(kept, child)
            if kept.program.probe.kind is ProbeKind.EXIT and code == 0:
                self._now(kept, ProcessState.DONE)
                kept.was_ready.set()
                return
            if not kept.was_ready.is_set():
                raise StackFailed(process=kept.program.name, exit_code=code, log=str(kept.program.log))
            kept.restarts += 1
            self._now(kept, ProcessState.RESTARTING)
            log.error("process_crashed", process=kept.program.name, exit_code=code, restarts=kept.restarts)
            if ready_seconds > STABLE_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _started(self, kept: "_Kept") -> Child:
        child = kept.child = Child(kept.program)
        self._guard.hold(child)
        self._now(kept, ProcessState.STARTING)
        log.info("process_started", process=kept.program.name, pid=child.pid)
        return child

    async def _lived(self, kept: "_Kept", child: Child) -> tuple[float, int]:
        """For how long it was ready, and its exit code."""
        if not await self._became_ready(kept, child):
            await child.stop()
            return 0.0, await child.exit
        self._now(kept, ProcessState.READY)
        kept.was_ready.set()
        log.info("process_ready", process=kept.program.name, pid=child.pid)
        code = await asyncio.shield(child.exit)
        return (datetime.now(UTC) - kept.since).total_seconds(), code

    async def _became_ready(self, kept: "_Kept", child: Child) -> bool:
        """Whether it did before it ended, in time. StackFailed: it never was, and its time is up."""
        program = kept.program
        try:
            async with asyncio.timeout(program.ready_seconds):
                while not child.exit.done():
                    if await child.is_ready():
                        return True
                    await asyncio.wait([child.exit], timeout=PROBE_EVERY_SECONDS)
        except TimeoutError:
            log.error("process_not_ready", process=program.name, after_seconds=program.ready_seconds)
            if not kept.was_ready.is_set():
                raise StackFailed(
                    process=program.name, not_ready_after_seconds=program.ready_seconds, log=str(program.log)
                ) from None
        return False

    def _gone(self, kept: "_Kept", child: Child) -> None:
        self._guard.release(child)
        kept.child = None

    def _now(self, kept: "_Kept", state: ProcessState) -> None:
        kept.state, kept.since = state, datetime.now(UTC)
        self._changed(tuple(kept.record() for kept in self._kept.values()))


class _Kept:
    """A program and the process that runs it at present."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.was_ready = asyncio.Event()
        self.child: Child | None = None
        self.restarts = 0
        self.state = ProcessState.WAITING
        self.since = datetime.now(UTC)

    def record(self) -> ProcessRecord:
        """What is known of it."""
        return ProcessRecord(
            name=self.program.name,
            state=self.state,
            since=self.since.isoformat(timespec="seconds"),
            pid=self.child.pid if self.child else 0,
            start_ticks=self.child.start_ticks if self.child else 0,
            ports=self.program.ports,
            restarts=self.restarts,
            probe=self.program.probe,
        )
