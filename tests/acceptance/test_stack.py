"""The running stack as an operator sees it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
"""127.0.0.1 as /proc/net/tcp has it, and tcp6."""


def lift(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lift.cli", *arguments, "--state", str(state), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def processes(state: Path) -> dict[str, Any]:
    return {process["process"]: process for process in json.loads(lift(state, "status").stdout)["processes"]}


def test_every_process_is_healthy_on_ports_of_this_machine_only(stack: Path, wait_until: Callable[..., None]) -> None:
    wait_until(lambda: all(process["healthy"] for process in processes(stack).values()))
    found = processes(stack)
    assert {"valkey", "objects", "engine", "generator", "trainer", "gateway"} <= set(found)
    listening = {
        (address, int(port, 16))
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        for address, port in [line.split()[1].split(":")]
        if line.split()[3] == "0A"
    }
    ports = {port for process in found.values() for port in process["ports"]}
    assert ports <= {port for _, port in listening}
    assert {address for address, port in listening if port in ports} <= LOOPBACK


def test_a_second_up_says_that_the_stack_runs_already(stack: Path) -> None:
    for options in ((), ("--detach",)):
        refused = lift(stack, "up", *options)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("The stack of this state folder is running already")
        assert len(refused.stderr.splitlines()) == 1


def test_a_process_that_is_killed_comes_back_and_is_reported(stack: Path, wait_until: Callable[..., None]) -> None:
    before = processes(stack)["generator"]
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: processes(stack)["generator"]["restarts"] == before["restarts"] + 1)
    wait_until(lambda: processes(stack)["generator"]["healthy"], 240)
    assert processes(stack)["generator"]["pid"] != before["pid"]
