"""Every role says what is wrong with its settings in one sentence; the trainer is ready whatever it logs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lift.stack.configuration import configure
from lift.stack.folder import StateFolder
from lift.stack.programs import programs
from lift.stack.supervisor import Supervisor
from trainer.testing import make_tiny_model

ROLES = ["server.gateway", "server.engine", "generator", "trainer"]
OTHERS = {"gateway", "engine", "generator"}


@pytest.mark.parametrize("module", ROLES)
@pytest.mark.parametrize("wrong", [("LIFT_GATEWAY__PORT", "no"), ("LIFT_CONFIG", "/nowhere/lift.toml")])
def test_a_role_with_a_wrong_setting_ends_with_one_sentence(module: str, wrong: tuple[str, str]) -> None:
    environment = {**os.environ, wrong[0]: wrong[1]}
    command = [sys.executable, "-m", module]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("This option does not have a value that can be used (option: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("setting", [("LIFT_LOG__LEVEL", "ERROR"), ("LIFT_LOG__JSON_LINES", "false")])
async def test_the_trainer_is_found_ready_whatever_it_logs(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]
) -> None:
    monkeypatch.setenv("LIFT_MODEL__BASE_MODEL", str(make_tiny_model(tmp_path / "tiny")))
    monkeypatch.setenv(*setting)
    needed = [program for program in programs(state, configure(state)) if program.name not in OTHERS]
    async with Supervisor(needed, lambda _: None) as supervisor:
        await supervisor.ready()
