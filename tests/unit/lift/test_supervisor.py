"""The supervisor on trivial processes: order, crashes, stops, and what happens where it is killed itself."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lift.errors import StackFailed, StackRunning
from lift.stack import children, guard, up
from lift.stack.children import Program
from lift.stack.folder import StateFolder, held, holder
from lift.stack.logfiles import last_lines
from lift.stack.probes import Probe, ProbeKind
from lift.stack.record import ProcessRecord, ProcessState, StackRecord, read, write
from lift.stack.supervisor import Supervisor

SAY_AND_STAY = "import signal, sys; open(sys.argv[1], 'x'); signal.pause()"


def program(folder: Path, name: str, code: str = SAY_AND_STAY, **changes: object) -> Program:
    """Its code is ready when it has created the file that its argument names, which is not there yet."""
    ready = str(folder / f"{name}.ready")
    command, probe = (sys.executable, "-c", code, ready), Probe(kind=ProbeKind.FILE, target=ready)
    return Program(**{"name": name, "command": command, "probe": probe, "log": folder / f"{name}.log", **changes})  # type: ignore[arg-type]


class Seen:
    """Every state that each process was in, in order."""

    def __init__(self) -> None:
        self.latest: dict[str, ProcessRecord] = {}
        self.history: list[tuple[str, ProcessState]] = []

    def __call__(self, records: tuple[ProcessRecord, ...]) -> None:
        for record in records:
            if self.latest.get(record.name) is None or self.latest[record.name].state != record.state:
                self.history.append((record.name, record.state))
            self.latest[record.name] = record

    def states_of(self, state: ProcessState) -> list[str]:
        return [name for name, was in self.history if was is state]


@asynccontextmanager
async def running(programs: Sequence[Program]) -> AsyncIterator[tuple[Supervisor, Seen]]:
    seen = Seen()
    async with Supervisor(programs, seen) as supervisor:
        await supervisor.ready()
        yield supervisor, seen


async def until(true: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)


async def test_a_program_starts_once_those_before_it_are_ready_and_they_stop_in_the_reverse_order(tmp_path):
    slow = f"import time; time.sleep(0.3); {SAY_AND_STAY}"
    programs = (
        program(tmp_path, "store", slow),
        program(tmp_path, "role", after=("store",)),
        program(tmp_path, "door", after=("store", "role")),
    )
    async with running(programs) as (_, seen):
        ready_first = [entry for entry in seen.history if entry[1] in {ProcessState.STARTING, ProcessState.READY}]
    names = ("store", "role", "door")
    assert ready_first == [(name, state) for name in names for state in (ProcessState.STARTING, ProcessState.READY)]
    assert seen.states_of(ProcessState.STOPPED) == ["door", "role", "store"]


async def test_a_process_that_crashes_is_started_again_and_counted(tmp_path):
    async with running([program(tmp_path, "role")]) as (_, seen):
        first = seen.latest["role"].pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: seen.latest["role"].state is ProcessState.READY and seen.latest["role"].pid != first)
        assert seen.latest["role"].restarts == 1


async def test_what_a_crashed_process_had_started_goes_with_it(tmp_path):
    parent = (
        "import subprocess, sys, signal; child = subprocess.Popen(['sleep', '600']);"
        "print(child.pid, flush=True); open(sys.argv[1], 'x'); signal.pause()"
    )
    async with running([program(tmp_path, "role", parent)]) as (_, seen):
        grandchild = int((tmp_path / "role.log").read_text().split()[0])
        assert guard.start_ticks(grandchild)
        os.kill(seen.latest["role"].pid, signal.SIGKILL)
        await until(lambda: guard.start_ticks(grandchild) is None)


async def test_a_process_has_ended_once_nothing_runs_of_what_it_had_started(tmp_path, monkeypatch):
    still_there = iter([True, True])  # as where the machine is busy: what is killed ends when its turn comes
    async with running([program(tmp_path, "role")]) as (_, seen):
        monkeypatch.setattr(guard, "is_there", lambda _: next(still_there, False))
        os.kill(seen.latest["role"].pid, signal.SIGKILL)
        await until(lambda: seen.states_of(ProcessState.RESTARTING) == ["role"])
        assert next(still_there, None) is None


async def test_what_cannot_be_ended_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "KILLED_SECONDS", 0.1)
    async with running([program(tmp_path, "role")]) as (_, seen):
        monkeypatch.setattr(guard, "is_there", lambda _: True)
    assert seen.states_of(ProcessState.STOPPED) == ["role"]


async def test_a_process_that_ends_before_it_is_ready_fails_the_start_and_the_others_stop(tmp_path):
    programs = (program(tmp_path, "store"), program(tmp_path, "role", "raise SystemExit('no model')", after=("store",)))
    seen = Seen()
    with pytest.raises(StackFailed) as failed:
        async with Supervisor(programs, seen) as supervisor:
            await supervisor.ready()
    assert failed.value.facts["process"] == "role"
    assert failed.value.facts["exit_code"] == 1
    assert "no model" in last_lines(tmp_path / "role.log")
    assert failed.value.facts["log"] == str(tmp_path / "role.log")
    assert seen.states_of(ProcessState.STOPPED) == ["role", "store"]


async def test_a_process_that_is_never_ready_fails_the_start(tmp_path):
    mute = program(tmp_path, "role", "import signal; signal.pause()", ready_seconds=0.3)
    with pytest.raises(StackFailed, match="not_ready_after_seconds"):
        async with Supervisor([mute], Seen()) as supervisor:
            await supervisor.ready()


async def test_a_preparation_is_ready_when_it_has_ended_well_and_is_not_repeated(tmp_path):
    made = tmp_path / "made"
    prepare = program(tmp_path, "model", f"open({str(made)!r}, 'a').write('x')", probe=Probe(kind=ProbeKind.EXIT))
    async with running([prepare, program(tmp_path, "role", after=("model",))]) as (_, seen):
        assert seen.latest["model"].state is ProcessState.DONE
        assert made.read_text() == "x"


async def test_a_process_that_ignores_the_request_to_stop_is_killed(tmp_path):
    stubborn = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'x')\n"
    stubborn += "while True: signal.pause()"
    async with running([program(tmp_path, "role", stubborn, stop_seconds=0.3)]) as (_, seen):
        pid = seen.latest["role"].pid
    assert guard.start_ticks(pid) is None


async def test_a_guard_that_is_killed_is_replaced(tmp_path):
    async with running([program(tmp_path, "role")]) as (supervisor, seen):
        first = supervisor._guard._process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: guard.start_ticks(first) is None)
        role = seen.latest["role"].pid
        os.kill(role, signal.SIGKILL)
        await until(lambda: seen.latest["role"].state is ProcessState.READY and seen.latest["role"].pid != role)
        assert supervisor._guard._process.pid != first


async def test_a_stack_goes_on_while_its_record_cannot_be_written_and_catches_up_later(tmp_path, monkeypatch):
    monkeypatch.setattr(up, "RECORD_RETRY_SECONDS", 0.05)
    state, seen = StateFolder(tmp_path), Seen()
    recorder = up._Recorder(state)
    unfinished = tmp_path / f"stack.{os.getpid()}"

    def changed(records: tuple[ProcessRecord, ...]) -> None:
        seen(records)
        recorder.processes(records)

    def recorded() -> tuple[ProcessRecord, ...]:
        last = read(state.record)
        return last.processes if last else ()

    async with Supervisor([program(tmp_path, "store"), program(tmp_path, "role")], changed) as supervisor:
        await supervisor.ready()
        unfinished.mkdir()
        first = seen.latest["role"].pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: seen.latest["role"].state is ProcessState.READY and seen.latest["role"].pid != first)
        assert recorded()[1].pid == first
        unfinished.rmdir()
        await until(lambda: recorded() == tuple(seen.latest.values()))
        unfinished.mkdir()
    assert seen.states_of(ProcessState.STOPPED) == ["role", "store"]


def test_only_one_supervisor_has_a_folder(tmp_path):
    state = StateFolder(tmp_path)
    code = (
        "import sys; from pathlib import Path; from lift.stack.folder import *\n"
        "with held(StateFolder(Path(sys.argv[1]))): print('held', flush=True); sys.stdin.read()"
    )
    assert holder(state) is None
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert holder(state) == other.pid
        with pytest.raises(StackRunning) as refused, held(state):
            pass
        assert refused.value.facts["pid"] == other.pid
        other.communicate()
    assert holder(state) is None
    with held(state):
        pass


SUPERVISE = """
import asyncio, json, signal, sys
from pathlib import Path
from lift import logs
from lift.stack.children import Program
from lift.stack.probes import Probe, ProbeKind
from lift.stack.supervisor import Supervisor
logs.configure(role="supervisor")
folder = Path(sys.argv[1])
code = "import subprocess, signal, sys; subprocess.Popen(['sleep', '600']); open(sys.argv[1], 'x'); signal.pause()"
programs = [
    Program(name=name, command=(sys.executable, "-c", code, str(folder / name)), log=folder / f"{name}.log",
            probe=Probe(kind=ProbeKind.FILE, target=str(folder / name)))
    for name in ("store", "role")
]
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    seen = []
    async with Supervisor(programs, seen.append) as supervisor:
        await supervisor.ready()
        print(json.dumps([record.pid for record in seen[-1]]), flush=True)
        await stop.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_supervisor_however_it_ends(tmp_path, wait_until, number):
    with subprocess.Popen([sys.executable, "-c", SUPERVISE, str(tmp_path)], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        groups = json.loads(supervisor.stdout.readline())
        assert len(groups) == 2
        assert all(map(guard.is_there, groups))
        supervisor.send_signal(number)
        supervisor.wait(60)
        wait_until(lambda: not any(map(guard.is_there, groups)))
    if number == signal.SIGTERM:
        assert supervisor.returncode == 0


def test_a_group_whose_leader_is_another_process_by_now_is_left_alone():
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        ticks = guard.start_ticks(other.pid)
        assert ticks is not None
        assert guard.end_groups({other.pid: ticks + 1}, grace_seconds=0) == ()
        assert guard.start_ticks(other.pid) == ticks
        assert guard.end_groups({other.pid: ticks}, grace_seconds=60) == (other.pid,)


RECORD = StackRecord(
    supervisor=1,
    ready=True,
    processes=(
        ProcessRecord(
            name="engine",
            state=ProcessState.READY,
            since="2026-11-28T00:00:00+00:00",
            pid=2,
            start_ticks=3,
            ports=(4, 5),
            restarts=0,
            probe=Probe(kind=ProbeKind.GRPC, target="127.0.0.1:4"),
        ),
    ),
    failure={"process": "engine", "exit_code": 1, "after_seconds": 0.5},
)


def test_a_record_is_read_as_it_was_written_and_what_a_newer_version_adds_is_left_out(tmp_path):
    file = tmp_path / "stack.json"
    assert read(file) is None
    write(file, RECORD)
    assert read(file) == RECORD
    content = json.loads(file.read_text())
    content["processes"][0]["added"] = content["added"] = "later"
    file.write_text(json.dumps(content))
    assert read(file) == RECORD


@pytest.mark.parametrize("content", [b"", b'{"supervisor": 1', b'{"supervisor": 1, "ready": true}', b"[]", b"\xff"])
def test_a_record_that_is_damaged_or_lacks_something_fails_a_start_and_stays(tmp_path, content):
    state = StateFolder(tmp_path)
    state.record.write_bytes(content)
    with pytest.raises(StackFailed, match=r"stack\.json"):
        up.up(state, lambda _: None)
    assert state.record.read_bytes() == content
