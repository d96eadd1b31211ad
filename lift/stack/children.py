"""Turns a program into one running process, and makes sure that nothing of it outlives its end, or the supervisor's."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from lift.stack import guard
from lift.stack.probes import Probe, ProbeKind, answers

log = structlog.get_logger()

KILLED_SECONDS = 15.0
"""What the kernel does not end for so long, as where a disk does not answer, is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run in which folder, and when it counts as ready. It starts once those named in `after` are ready."""

    name: str
    command: Sequence[str]
    probe: Probe
    log: Path
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    ports: tuple[int, ...] = ()
    ready_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0


class Child:
    """One running process and all that it starts: they are one process group, and end together.

    `exit` is done with the exit code once the process has ended and nothing of its group is left.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        if program.probe.kind is ProbeKind.FILE:
            Path(program.probe.target).unlink(missing_ok=True)  # of the process before
        with program.log.open("ab") as output:
            self._process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **program.environment},
                cwd=program.folder,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.start_ticks = guard.start_ticks(self.pid) or 0
        self.exit = asyncio.create_task(self._ended())

    async def stop(self) -> None:
        """Asks it to end, then makes it."""
        self._signal(self._program.stop_signal)
        await asyncio.wait([self.exit], timeout=self._program.stop_seconds)
        if not self.exit.done():
            log.warning("process_killed", process=self._program.name, after_seconds=self._program.stop_seconds)
            self._signal(signal.SIGKILL)
            await asyncio.wait([self.exit])

    async def is_ready(self) -> bool:
        """Whether it does its work by now."""
        probe = self._program.probe
        return probe.kind is not ProbeKind.EXIT and await asyncio.to_thread(answers, probe)

    async def _ended(self) -> int:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptor = os.pidfd_open(self.pid)
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # before reaping: until then the group's number is its own
        await self._nothing_left()
        return self._process.wait()

    async def _nothing_left(self) -> None:
        """Returns when all that were killed have ended, which a signal only begins."""
        with suppress(TimeoutError):
            async with asyncio.timeout(KILLED_SECONDS):
                while guard.is_there(self.pid):  # noqa: ASYNC110 - other processes' ends are announced to nobody
                    await asyncio.sleep(0.05)
            return
        log.error("process_left", process=self._program.name, group=self.pid)

    def _signal(self, number: signal.Signals) -> None:
        if not self.exit.done():
            os.kill(self.pid, number)


class Guard:
    """The process that ends all children where their supervisor is killed. It is started anew where it ended itself."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}
        self._process = self._started()

    def hold(self, child: Child) -> None:
        """From now on the child ends with this process."""
        self._held[child.pid] = child.start_ticks
        self._write(f"+{child.pid} {child.start_ticks}\n")

    def release(self, child: Child) -> None:
        """The child has ended."""
        self._held.pop(child.pid, None)
        self._write(f"-{child.pid} {child.start_ticks}\n")

    def close(self) -> None:
        """Ends the guard, and whatever it still holds."""
        self._process.communicate()

    def _started(self) -> subprocess.Popen[bytes]:
        # Isolated and without site-packages: nothing of ours can keep it from its work.
        command = [sys.executable, "-I", "-S", guard.__file__]
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def _write(self, line: str) -> None:
        try:
            self._tell(line)
        except BrokenPipeError:
            self._process.communicate()
            log.error("guard_ended", exit_code=self._process.returncode)
            self._process = self._started()
            self._tell("".join(f"+{pid} {ticks}\n" for pid, ticks in self._held.items()))

    def _tell(self, lines: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(lines.encode())
        self._process.stdin.flush()
