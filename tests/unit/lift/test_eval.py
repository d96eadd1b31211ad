"""`lift eval` through a real gateway: adapters are trained, asked and deleted as those of any client."""

import json
import sys
import threading
import time

import pytest

from evals.__main__ import app
from evals.methods import METHODS
from lift.commands import run
from lift.values import JobKind


@pytest.fixture
def trainer(gateway):
    """A trainer that does every job until the test ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for job in gateway.catalogue.leases.due(JobKind.TRAIN, 1, 0):
                gateway.train(job)
            time.sleep(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def served(state, gateway, trainer):
    """The state folder that leads to the gateway."""
    gateway.leave_client_file(state)
    return state


@pytest.fixture
def lift_eval(capsys, monkeypatch, served, tmp_path):
    """lift_eval(*arguments): the object on the last line."""
    monkeypatch.setenv("LIFT_STATE_DIR", str(served.path))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lift eval", *map(str, arguments), "--out", str(tmp_path / "out"), "--json"])
        with pytest.raises(SystemExit) as ended:
            run(app)
        captured = capsys.readouterr()
        assert not ended.value.code, captured.err
        return json.loads(captured.out.splitlines()[-1])

    return call


@pytest.fixture
def tides(tmp_path):
    """A document and two questions, of which the engine's only answer is right for one."""
    (tmp_path / "tides.txt").write_text("The tide bell rings at noon.")
    (tmp_path / "tides.tsv").write_text("What rings?\tbell\nWhen?\tnoon\n")
    return tmp_path / "tides.txt"


def test_every_method_is_asked_through_the_gateway(lift_eval, gateway, tides):
    found = lift_eval("own", "--data", tides, "--train", "strategy=grounded")
    without_own_model = [name for name in METHODS if name not in {"llamaindex", "llmlingua"}]
    assert {name: each["contains"] for name, each in found["methods"].items()} == dict.fromkeys(without_own_model, 0.5)
    prompts = [(bool(asked.revision.digest), asked.turns[-1].content, asked.context) for asked in gateway.engine.asked]
    text = "The tide bell rings at noon."
    assert (False, f"{text}\n\nWhat rings?", "") in prompts
    assert (True, "What rings?", "") in prompts
    assert (True, "What rings?", text) in prompts
    assert found["methods"]["lift"]["seconds_per_document"] >= 2
    assert gateway.catalogue.adapters.list("mine", 10, "").items == ()


def test_a_rerun_finds_the_adapters_that_were_kept(lift_eval, gateway, tides):
    lift_eval("own", "--data", tides, "--methods", "lift", "--keep-adapters")
    found = lift_eval("own", "--data", tides, "--methods", "lift,lift+icl", "--keep-adapters")
    assert list(found["methods"]) == ["lift", "lift+icl"]
    assert len(gateway.catalogue.jobs.list("mine", 10, "").items) == 1


def test_a_haystack_is_measured_in_the_models_tokens(lift_eval, tides):
    tides.write_text("The tide bell rings at noon. " * 4)
    found = lift_eval(
        "niah", "--data", tides, "--methods", "base", "--lengths", "100", "--depths", "0,100", "--limit", "2"
    )
    assert (found["benchmark"], found["questions"], found["methods"]["base"]["contains"]) == ("niah", 2, 0)
