"""How many processes make a step together where nobody says."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from trainer import workshop


@pytest.fixture
def threads(monkeypatch):
    """Sets how many threads torch seems to have, and keeps what they are set to."""
    said = SimpleNamespace(now=2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: said.now)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: setattr(said, "now", number))
    return said


@pytest.mark.parametrize(("found", "devices"), [(None, 2), (object(), 1)])
def test_two_cores_have_a_process_each_but_on_tiles(base, threads, monkeypatch, found, devices):
    monkeypatch.setattr(workshop, "tiles", lambda _: found)
    model = SimpleNamespace(config=base.model.config, device=torch.device("cpu"), dtype=torch.bfloat16)
    assert workshop._fast_devices(replace(base, model=model)) == devices
    assert threads.now == 2 // devices


@pytest.mark.parametrize("cores", [1, 3, 16])
def test_other_cores_share_one_process(base, threads, cores):
    threads.now = cores
    assert workshop._fast_devices(base) == 1
    assert threads.now == cores


@pytest.mark.parametrize(("model_type", "device"), [("gemma2", "cpu"), ("llama", "cuda")])
def test_a_gpu_or_a_model_of_another_kind_has_one_process(base, threads, model_type, device):
    config = SimpleNamespace(model_type=model_type, hidden_act="silu")
    other = replace(base, model=SimpleNamespace(config=config, device=torch.device(device), dtype=torch.float32))
    assert workshop._fast_devices(other) == 1
    assert threads.now == 2
