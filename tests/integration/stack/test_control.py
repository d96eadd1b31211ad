"""Stacks that are started, looked at and stopped from outside."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lift.errors import StackFailed, StackRunning, StackStopped
from lift.stack import control, guard, record
from lift.stack.folder import StateFolder, holder


def processes_of(state: StateFolder) -> list[str]:
    """The command lines of all processes that were started for the folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        of_stack = f"LIFT_STATE_DIR={state.path}".encode() in environment
        if command and (of_stack or str(state.path).encode() in command):
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.fixture
def no_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the roles are started, and they cannot work."""
    monkeypatch.setenv("LIFT_QUEUE__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("LIFT_OBJECTS__ENDPOINT", "127.0.0.1:1")


def test_a_start_that_fails_names_the_process_and_leaves_nothing_behind(state, no_stores, monkeypatch):
    monkeypatch.setenv("LIFT_MODEL__BASE_MODEL", "/nowhere/model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StackFailed) as failed:
        control.start(state, seen=lambda _: None)
    assert failed.value.facts["process"] in {"engine", "trainer"}
    assert "/nowhere/model" in Path(str(failed.value.facts["log"])).read_text()
    assert processes_of(state) == []
    assert holder(state) is None


def test_a_supervisor_that_cannot_read_its_settings_says_so(state, monkeypatch):
    monkeypatch.setenv("LIFT_GATEWAY__PORT", "a port")
    done = subprocess.run(
        [sys.executable, "-m", "lift.cli", "up", "--detach", "--state", str(state.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "gateway.port" in done.stderr


def test_a_stack_that_is_starting_has_a_status_refuses_a_second_and_can_be_stopped(state, wait_until, monkeypatch):
    monkeypatch.setenv("LIFT_OBJECTS__ENDPOINT", "127.0.0.1:1")
    with subprocess.Popen([sys.executable, "-m", "lift.stack", str(state.path)], stderr=subprocess.PIPE) as supervisor:
        wait_until(lambda: _valkey(state))
        with pytest.raises(StackRunning) as refused:
            control.start(state, seen=lambda _: None)
        assert refused.value.facts["pid"] == supervisor.pid
        found = control.status(state)
        assert (found.supervisor, found.ready) == (supervisor.pid, False)
        assert {process.record.name: process.healthy for process in found.processes}["valkey"]
        control.stop(state)
        assert processes_of(state) == []
        supervisor.communicate()
    assert supervisor.returncode == 0
    with pytest.raises(StackStopped):
        control.status(state)
    with pytest.raises(StackStopped):
        control.stop(state)


def test_what_a_killed_supervisor_and_guard_left_is_ended_by_the_next(state, wait_until, monkeypatch):
    monkeypatch.setenv("LIFT_OBJECTS__ENDPOINT", "127.0.0.1:1")
    command = [sys.executable, "-m", "lift.stack", str(state.path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as first:
        wait_until(lambda: _valkey(state))
        left = _valkey(state).pid
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        guarding = next(int(pid) for pid in children if b"guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(guarding, signal.SIGKILL)
        first.kill()
        first.communicate()
    assert guard.start_ticks(left)
    with subprocess.Popen(command, stderr=subprocess.PIPE) as second:
        wait_until(lambda: holder(state) == second.pid and (new := _valkey(state)) and new.pid != left)
        assert guard.start_ticks(left) is None
        control.stop(state)
        second.communicate()
    assert processes_of(state) == []


def _valkey(state: StateFolder) -> record.ProcessRecord | None:
    """Valkey, once it is ready."""
    found = record.read(state.record)
    first = next(iter(found.processes), None) if found else None
    return first if first and first.state is record.ProcessState.READY else None
