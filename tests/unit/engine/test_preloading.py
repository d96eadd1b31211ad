"""Adapters are read in a thread of their own, given once, and what was not read before is read when it is wanted."""

import threading
import warnings
from types import SimpleNamespace

import pytest

pytest.importorskip("vllm")

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about itself while vLLM imports it
    from server.engine.cpu import preloading
    from server.engine.cpu.preloading import Preloading


class Worker(Preloading):
    """A worker whose manager notes where it reads and packs, and waits until it may."""

    def __init__(self):
        self.may_read = threading.Event()
        self.read, self.packed = [], []
        manager = SimpleNamespace(
            _load_adapter=self.load,
            _adapter_manager=SimpleNamespace(
                _create_merged_loras_inplace=lambda adapter: self.packed.append((adapter, threading.current_thread()))
            ),
        )
        self.model_runner = SimpleNamespace(lora_manager=manager)

    def load(self, request):
        assert self.may_read.wait(60)
        if request.lora_path == "broken":
            raise ValueError("no adapter")
        self.read.append((request.lora_int_id, threading.current_thread()))
        layer = SimpleNamespace(lora_a=torch.ones(2, 4), lora_b=torch.ones(4, 2), scaling=2.0)
        return SimpleNamespace(number=request.lora_int_id, loras={"layer": layer}, file=layer.lora_b)

    def add(self, number, folder="folder"):
        request = SimpleNamespace(lora_int_id=number, lora_path=folder)
        return self.model_runner.lora_manager._load_adapter(request)


@pytest.fixture
def worker():
    return Worker()


def test_an_adapter_is_read_and_packed_beside_the_loop_and_given_once(worker, wait_until):
    worker.preload("one", 1, "folder")
    assert not worker.preloaded(1)
    worker.may_read.set()
    wait_until(lambda: worker.preloaded(1))
    adapter = worker.add(1)
    assert adapter.number == 1
    assert [packed for packed, _ in worker.packed] == [adapter]
    assert threading.current_thread() not in {worker.read[0][1], worker.packed[0][1]}
    worker.add(1)
    assert [number for number, _ in worker.read] == [1, 1]


def test_for_our_layers_bs_scaling_stands_beside_it_so_that_no_page_of_the_file_is_written_to(
    worker, wait_until, monkeypatch
):
    monkeypatch.setattr(preloading, "registered", lambda: True)
    worker.may_read.set()
    worker.preload("one", 1, "folder")
    wait_until(lambda: worker.preloaded(1))
    adapter = worker.add(1)
    layer = adapter.loras["layer"]
    assert layer.scaling == 1
    assert (layer.lora_b.b is adapter.file, layer.lora_b.scale) == (True, 2.0)


def test_for_others_vllm_scales_b_itself(worker, wait_until, monkeypatch):
    monkeypatch.setattr(preloading, "registered", lambda: False)
    worker.may_read.set()
    worker.preload("one", 1, "folder")
    wait_until(lambda: worker.preloaded(1))
    layer = worker.add(1).loras["layer"]
    assert (layer.scaling, layer.lora_b.shape) == (2.0, (4, 2))


def test_what_was_not_read_before_is_read_when_it_is_added(worker):
    worker.may_read.set()
    worker.preload("one", 1, "folder")
    assert worker.add(2).number == 2
    assert worker.preloaded(2)


def test_what_is_wrong_with_an_adapter_is_said_when_it_is_added(worker, wait_until):
    worker.may_read.set()
    worker.preload("one", 1, "broken")
    wait_until(lambda: worker.preloaded(1))
    with pytest.raises(ValueError, match="no adapter"):
        worker.add(1, "broken")
