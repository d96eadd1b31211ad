"""Starts a stack in the background, looks at one, and stops one: what other processes do to a supervisor."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from lift.client.connection import ClientFile
from lift.errors import StackFailed, StackRunning, StackStopped, TimedOut
from lift.stack import guard, record
from lift.stack.children import KILLED_SECONDS
from lift.stack.folder import StateFolder, holder
from lift.stack.logfiles import rotate
from lift.stack.probes import answers
from lift.stack.record import ProcessRecord, ProcessState, StackRecord

SUPERVISOR = "supervisor"
POLL_SECONDS = 0.1
STOP_SECONDS = 120.0


def start(state: StateFolder, seen: Callable[[StackRecord], None]) -> ClientFile:
    """Starts a stack of its own session and returns when it is ready; calls `seen` with what it looks like meanwhile.

    StackRunning: there is one. StackFailed: a process did not start; nothing is left running.
    """
    state.make()
    if pid := holder(state):
        raise StackRunning(state=str(state.path), pid=pid)
    supervisor = _supervisor(state)
    try:
        while (code := supervisor.poll()) is None:
            last = record.read(state.record)
            if last is not None and last.supervisor == supervisor.pid:
                seen(last)
                if last.ready and (client_file := ClientFile.read(state.path)):
                    return client_file
            time.sleep(POLL_SECONDS)
    except BaseException:  # also Ctrl-C: what was begun here is not left half-made
        supervisor.terminate()
        supervisor.wait()
        raise
    last = record.read(state.record)
    if last is not None and last.supervisor == supervisor.pid and last.failure:
        raise StackFailed(**last.failure)
    raise StackFailed(process=SUPERVISOR, exit_code=code, log=str(state.log_of(SUPERVISOR)))


def _supervisor(state: StateFolder) -> subprocess.Popen[bytes]:
    rotate(state.log_of(SUPERVISOR))
    with state.log_of(SUPERVISOR).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "lift.stack", str(state.path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One process as it was recorded, and whether it answers now."""

    record: ProcessRecord
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """A running stack. `ready`: it has answered a query."""

    supervisor: int
    ready: bool
    processes: tuple[ProcessStatus, ...]


def status(state: StateFolder) -> StackStatus:
    """Asks every process. StackStopped: none runs."""
    pid, last = holder(state), record.read(state.record)
    if pid is None or last is None:
        raise StackStopped(state=str(state.path))
    checked = tuple(ProcessStatus(record=process, healthy=_is_healthy(process)) for process in last.processes)
    return StackStatus(supervisor=pid, ready=last.ready, processes=checked)


def _is_healthy(process: ProcessRecord) -> bool:
    return process.state is ProcessState.DONE or (process.state is ProcessState.READY and answers(process.probe))


def stop(state: StateFolder) -> None:
    """Stops a stack and returns when nothing of it is left. StackStopped: none runs. TimedOut: something is left."""
    pid = holder(state)
    if pid is None:
        raise StackStopped(state=str(state.path))
    last = None
    with suppress(StackFailed):  # of another version: it can be stopped nevertheless
        last = record.read(state.record)
    os.kill(pid, signal.SIGTERM)
    if not _comes_true(lambda: guard.start_ticks(pid) is None, STOP_SECONDS):
        os.kill(pid, signal.SIGKILL)  # its guard ends the rest
    groups = [process.pid for process in last.processes if process.pid] if last else []
    if not _comes_true(lambda: not any(map(guard.is_there, groups)), KILLED_SECONDS):
        raise TimedOut(state=str(state.path), left=" ".join(map(str, filter(guard.is_there, groups))))


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True
