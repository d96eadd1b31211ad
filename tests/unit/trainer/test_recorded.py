"""When passes are recorded and what a recording reads; that replays train as passes do, test_fused.py shows on GPUs."""

from contextlib import nullcontext

import pytest
import torch

from trainer import recorded
from trainer.batches import Example
from trainer.prefixes import forest
from trainer.recorded import RecordedPasses

GIGABYTE = 1 << 30


class Graph:
    """What stands in for a CUDA graph: its kernels are the pass itself, on the memory that was recorded."""

    def __init__(self, run, here, turns, losses):
        self.kernels = lambda: losses.copy_(run(here, turns))

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
    """Passes whose losses are tokens and cosines; what was run as it is, and what was recorded."""
    ran, recordings = [], []

    def run(here, turns):
        ran.append(here)
        return (here.tokens[here.answers] + turns[0][here.answers]).float()

    def record(self, here, turns):
        losses = torch.zeros(len(here.answers))
        recordings.append(recorded._Recording(Graph(run, here, turns, losses), here, turns, losses))
        return recordings[-1]

    monkeypatch.setattr(RecordedPasses, "_record", record)
    found = RecordedPasses(torch.device("cpu"), run, lambda positions: (positions * 100, positions))
    return found, ran, recordings


def grown(*tokens):
    return forest([([Example(tokens=tokens, answer_start=len(tokens) - 1)], 1.0)])


def test_the_second_pass_of_a_layout_is_recorded_and_reads_what_it_is_given(passes):
    run, _, recordings = passes
    found = [float(run(each)[0]) for each in (grown(1, 2, 3), grown(4, 5, 6), grown(1, 7, 8, 9), grown(1, 2, 3))]
    assert found == [102, 105, 208, 102]
    assert len(recordings) == 1


def test_another_layout_has_another_recording(passes):
    run, _, recordings = passes
    for _ in range(3):
        run(grown(1, 2, 3))
        run(grown(*range(200)))
    assert len(recordings) == 2


def test_where_memory_is_short_passes_run_as_they_are(passes, cuda):
    run, ran, recordings = passes
    cuda["free"] = 8 * GIGABYTE - 1  # with what is cached, nine less one, and three times three are needed
    for _ in range(3):
        assert float(run(grown(1, 2, 3))[0]) == 102
    assert (len(ran), recordings) == (3, [])
    cuda["free"] = 8 * GIGABYTE + 1
    run(grown(1, 2, 3))
    assert len(recordings) == 1


def test_the_layout_that_was_used_longest_ago_is_forgotten(passes, monkeypatch):
    run, _, recordings = passes
    monkeypatch.setattr(recorded, "RECORDINGS", 1)
    for each in (grown(1, 2, 3), grown(*range(200)), grown(1, 2, 3), grown(1, 2, 3)):
        run(each)
    assert len(recordings) == 1
