"""The whole embedded stack, started once for the session as a newcomer starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a running stack; the home folder is empty."""
    state = tmp_path_factory.mktemp("stack")
    environment = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home"))}
    command = [sys.executable, "-m", "lift.cli"]
    up = subprocess.run(
        [*command, "up", "--detach", "--state", str(state)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert up.returncode == 0, up.stderr
    yield state
    subprocess.run([*command, "down", "--state", str(state)], check=True, timeout=300)
