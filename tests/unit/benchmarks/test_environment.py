"""Benchmarks that do a role's work run in the environment that a stack gives the role."""

import os
import subprocess
import sys

import pytest

from benchmarks import engines, environment
from benchmarks.engines import running
from benchmarks.environment import become_role, used
from lift.errors import EngineUnavailable
from lift.settings import EngineSettings, ObjectSettings
from lift.stack.programs import of_engine, of_trainer


@pytest.fixture
def begun(monkeypatch):
    """The commands and environments of processes that took this one's place; none of a role's variables is set."""
    for name in of_trainer():
        monkeypatch.delenv(name, raising=False)
    seen = []
    monkeypatch.setattr(os, "execve", lambda _, command, variables: seen.append((command, variables)))
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "benchmarks", "train", "--json"])
    return seen


@pytest.mark.parametrize("benchmark", environment.ROLES)
def test_a_benchmark_begins_anew_once_with_what_the_role_has(begun, monkeypatch, benchmark):
    become_role(benchmark)
    [(command, variables)] = begun
    role = environment.ROLES[benchmark]()
    assert command == [sys.executable, "-m", "benchmarks", "train", "--json"]
    assert variables.items() >= role.items()
    for name, value in role.items():
        monkeypatch.setenv(name, value)
    become_role(benchmark)
    assert len(begun) == 1
    assert used() == role


def test_a_variable_that_is_set_stays(begun, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    assert used() == {"MALLOC_ARENA_MAX": "7"}


@pytest.mark.parametrize("benchmark", ["load", "--help", ""])
def test_what_only_asks_a_stack_stays_as_it_is(begun, benchmark):
    become_role(benchmark)
    assert begun == []


def test_engines_are_started_as_a_stack_starts_them(tmp_path, monkeypatch):
    begin, seen = subprocess.Popen, []

    def popen(command, **options):
        seen.append(options["env"])
        return begin([sys.executable, "-c", ""], **{**options, "env": {}})

    monkeypatch.setattr(engines.subprocess, "Popen", popen)
    with (
        pytest.raises(EngineUnavailable),
        running(tmp_path, EngineSettings(), ObjectSettings(), max_lora_rank=8, variables={"VLLM_PLUGINS": ""}),
    ):
        pass
    assert seen[0].items() >= {**of_engine(), "VLLM_PLUGINS": ""}.items()
