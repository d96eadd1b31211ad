"""The examples do what they say, also where they are run again."""

import runpy
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lift.values import JobKind

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def run(gateway, state, monkeypatch, capsys):
    """run(example, *arguments): what it prints."""
    gateway.leave_client_file(state)
    monkeypatch.setenv("LIFT_STATE_DIR", str(state.path))

    def printed(example: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [example, *arguments])
        runpy.run_path(str(EXAMPLES / example), run_name="__main__")
        return capsys.readouterr().out

    return printed


@pytest.fixture(autouse=True)
def trainer(gateway) -> Iterator[None]:
    """Trains whatever waits."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.02):
            for job in gateway.catalogue.leases.due(JobKind.TRAIN, 10, 0):
                gateway.train(job)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.parametrize("example", ["ingest_and_ask.py", "raw_grpc.py", "many_tenants.py"])
def test_an_example_has_its_answer_whenever_it_is_run(run, example):
    for _ in range(2):
        assert "The tide bell." in run(example)
