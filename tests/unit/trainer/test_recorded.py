"""When passes are recorded and what a recording reads; that replays train as passes do, test_fused.py shows on GPUs."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from trainer.examples.batches import Example
from trainer.learners import recorded
from trainer.learners.frozen import Group
from trainer.learners.lora import Factors
from trainer.learners.prefixes import forest
from trainer.learners.recorded import RecordedPasses

GIGABYTE = 1 << 30
GROUP = Group(("layer",), torch.zeros(3, 4), None, (3,))
BASE = SimpleNamespace(
    layers=[SimpleNamespace(qkv=GROUP, out=GROUP, gate_up=GROUP, down=GROUP)],
    embedding=torch.zeros(1),
    turns=lambda positions: (positions * 100, positions),
)


class Graph:
    """What stands in for a CUDA graph: its kernels are the pass itself, on the memory that was recorded."""

    def __init__(self, run, here, turns, factors, losses):
        self.kernels = lambda: losses.copy_(run(here, turns, factors))

    def replay(self):
        self.kernels()


@pytest.fixture
def cuda(monkeypatch):
    """A GPU's memory: what is free, reserved and allocated, and the peak of a pass."""
    memory = {"free": 9 * GIGABYTE, "allocated": GIGABYTE, "reserved": 2 * GIGABYTE, "peak": 4 * GIGABYTE}
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (memory["free"], 80 * GIGABYTE))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: memory["allocated"])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: memory["reserved"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: memory["peak"])
    return memory


@pytest.fixture
def passes(cuda, monkeypatch):
    """Passes whose losses are tokens and cosines, times the scaling, and whose gradients are the weights; what ran as
    it is, and what was recorded."""
    ran, recordings = [], []

    def run(here, turns, own):
        ran.append(here)
        own.gradients.add_(own.weights)
        return (here.tokens[here.answers] + turns[0][here.answers]).float() * own.scaling

    def record(self, here, turns, factors):
        losses = torch.zeros(len(here.answers))
        graph = Graph(run, here, turns, factors, losses)
        recordings.append(recorded._Recording(graph, here, turns, factors, losses))
        return recordings[-1]

    monkeypatch.setattr(RecordedPasses, "_record", record)
    return RecordedPasses(BASE, run), ran, recordings


def adapter(rank=2, scaling=1.0, weight=0.0):
    factors = Factors(BASE, rank, scaling)
    factors.weights.fill_(weight)
    return factors


def grown(*tokens):
    return forest([([Example(tokens=tokens, answer_start=len(tokens) - 1)], 1.0)])


def test_the_second_pass_of_a_layout_is_recorded_and_reads_what_it_is_given(passes):
    run, _, recordings = passes
    found = [run(each, adapter())[0] for each in (grown(1, 2, 3), grown(4, 5, 6), grown(1, 7, 8, 9), grown(1, 2, 3))]
    assert found == [102, 105, 208, 102]
    assert len(recordings) == 1


def test_a_recording_serves_every_adapter_of_its_kind_with_its_own_weights_and_gradients(passes):
    run, ran, recordings = passes
    one, other = adapter(weight=2.0), adapter(weight=5.0)
    for own in (one, other, other, one):
        run(grown(1, 2, 3), own)
    assert (len(ran), len(recordings)) == (4, 1)
    assert (one.gradients == 4).all()
    assert (other.gradients == 10).all()
    assert (one.weights == 2).all()


@pytest.mark.parametrize("kind", [{"rank": 3}, {"scaling": 2.0}])
def test_adapters_of_another_kind_have_other_recordings(passes, kind):
    run, _, recordings = passes
    for _ in range(2):
        run(grown(1, 2, 3), adapter())
        assert run(grown(1, 2, 3), adapter(**kind))[0] == 102 * kind.get("scaling", 1.0)
    assert len(recordings) == 2
    assert recordings[0].factors is not recordings[1].factors


def test_another_layout_has_another_recording_with_the_same_factors(passes):
    run, _, recordings = passes
    for _ in range(3):
        run(grown(1, 2, 3), adapter())
        run(grown(*range(200)), adapter())
    assert len(recordings) == 2
    assert recordings[0].factors is recordings[1].factors


def test_where_memory_is_short_passes_run_as_they_are(passes, cuda):
    run, ran, recordings = passes
    cuda["free"] = 8 * GIGABYTE - 1  # with what is cached, nine less one, and three times three are needed
    for _ in range(3):
        assert run(grown(1, 2, 3), adapter())[0] == 102
    assert (len(ran), recordings) == (3, [])
    cuda["free"] = 8 * GIGABYTE + 1
    run(grown(1, 2, 3), adapter())
    assert len(recordings) == 1


def test_the_layout_that_was_used_longest_ago_is_forgotten(passes, monkeypatch):
    run, _, recordings = passes
    monkeypatch.setattr(recorded, "RECORDINGS", 1)
    for each in (grown(1, 2, 3), grown(*range(200)), grown(1, 2, 3), grown(1, 2, 3)):
        run(each, adapter())
    assert len(recordings) == 1
