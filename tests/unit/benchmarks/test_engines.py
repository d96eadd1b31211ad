"""Engines as processes: what is said of one that ends, and that a rival's end is noted and nothing more."""

import os

import pytest

from benchmarks import engines
from benchmarks.engines import EngineProcess, Rival
from lift.errors import EngineUnavailable


@pytest.fixture
def pipes():
    """What an engine reads and writes: (commands to write, commands to read, results to write, results to read)."""
    (commands, given), (results, said) = os.pipe(), os.pipe()
    with open(given, "w") as a, open(commands) as b, open(said, "w") as c, open(results) as d:
        yield a, b, c, d


def test_an_engine_is_asked_in_lines_of_json(pipes):
    given, commands, said, results = pipes
    said.write('{"streams": [[1.0]]}\n')
    said.flush()
    engine = EngineProcess(given, results, {"base_model": "m"})
    assert engine.ask("answer", seed=1) == {"streams": [[1.0]]}
    assert [commands.readline() for _ in range(2)] == ['{"base_model": "m"}\n', '{"do": "answer", "seed": 1}\n']


def test_an_engine_that_ends_or_says_nothing_is_unavailable(pipes, monkeypatch):
    given, _, said, results = pipes
    engine = EngineProcess(given, results, {})
    monkeypatch.setattr(engines, "ANSWER_SECONDS", 0.01)
    with pytest.raises(EngineUnavailable, match="said nothing"):
        engine.ask("answer")
    said.close()
    with pytest.raises(EngineUnavailable, match="ended"):
        engine.ask("answer")


def test_a_rival_that_does_not_start_is_noted_and_asked_nothing():
    def start():
        raise EngineUnavailable(problem="no memory")

    rival = Rival("stock vLLM", start)
    with rival.noting():
        rival.ask("answer")
    assert list(rival.failed) == ["stock vLLM"]
    assert "no memory" in rival.failed["stock vLLM"]
