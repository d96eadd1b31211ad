"""What is compiled where: nothing on CPUs, nor where the compiler lacks something, which the log says."""

import os

import pytest
import torch
from structlog.testing import capture_logs

from trainer.learners import compiled
from trainer.learners.compiled import can_compile, compiled_on_gpus, keep_kernels


@pytest.fixture(autouse=True)
def asked_anew():
    can_compile.cache_clear()
    yield
    can_compile.cache_clear()


def test_on_cpus_a_function_runs_as_it_is_written(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda _: pytest.fail("it was compiled"))
    assert compiled_on_gpus(lambda x, y: x + y)(torch.ones(2), 1).tolist() == [2, 2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_gpus_it_is_compiled_also_as_part_of_another():
    @compiled_on_gpus
    def twice(x):
        return 2 * x

    @compiled_on_gpus
    def twice_and_one(x):
        return twice(x) + 1

    assert twice_and_one(torch.ones(3, device="cuda")).tolist() == [3, 3, 3]


def test_what_the_compiler_lacks_is_said_once(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiled.shutil, "which", lambda _: None)
    monkeypatch.setattr(compiled, "find_spec", lambda _: None)
    with capture_logs() as logged:
        assert not can_compile()
        assert not can_compile()
    assert [(entry["event"], entry["missing"]) for entry in logged] == [("not_compiled", "triton, a C compiler")]


def test_where_nothing_is_missing_it_compiles(monkeypatch):
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr(compiled, "find_spec", lambda _: object())
    assert can_compile()


def test_kernels_are_kept_in_the_folder_unless_the_environment_names_one(monkeypatch, tmp_path):
    monkeypatch.delenv(compiled.KERNELS, raising=False)
    keep_kernels(tmp_path / "kernels")
    keep_kernels(tmp_path / "other")
    assert os.environ.pop(compiled.KERNELS) == str(tmp_path / "kernels")


def test_the_folder_is_nobody_elses_to_write_to_whatever_else_groups_may(monkeypatch, tmp_path):
    monkeypatch.delenv(compiled.KERNELS, raising=False)
    before = os.umask(0o002)
    try:
        keep_kernels(tmp_path / "kernels")
    finally:
        os.umask(before)
    assert os.environ.pop(compiled.KERNELS)
    assert not (tmp_path / "kernels").stat().st_mode & 0o022


def test_a_folder_that_cannot_be_made_is_said_and_costs_nothing_else(monkeypatch, tmp_path):
    monkeypatch.delenv(compiled.KERNELS, raising=False)
    (tmp_path / "file").touch()
    with capture_logs() as logged:
        keep_kernels(tmp_path / "file" / "kernels")
    assert logged[0]["event"] == "kernels_not_kept"
    assert compiled.KERNELS not in os.environ
