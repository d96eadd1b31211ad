"""Every role says what is wrong with its settings in one sentence."""

import os
import subprocess
import sys

import pytest

ROLES = ["server.gateway", "server.engine", "generator", "trainer"]


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
