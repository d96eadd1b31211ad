"""A state folder of the test's own, and what is left of a stack in it."""

import os
from pathlib import Path

import pytest

from lift.stack.folder import StateFolder


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    """A new state folder, deep enough that a socket's path in it would be too long."""
    for name in [name for name in os.environ if name.startswith("LIFT_")]:
        monkeypatch.delenv(name)
    state = StateFolder(tmp_path / ("deep-" * 20) / "state")
    state.make()
    return state
