"""Jobs in threads that share the steps of one learner."""

import threading
from contextlib import contextmanager

import pytest

from trainer.examples.batches import Example
from trainer.learners import shared
from trainer.learners.fused import FusedLearner
from trainer.learners.shared import SharedLearner
from trainer.profiles import Hyperparameters

SMALL = Hyperparameters(rank=8, alpha=16, learning_rate=5e-3, batch_size=4)


class Counting:
    """A learner whose loss is the number of its examples, and that fails on none of them."""

    def __init__(self):
        self.steps = []
        self.threads = set()

    @contextmanager
    def adapter(self, hyperparameters, primer=None):
        self.threads.add(threading.get_ident())
        yield object()
        self.threads.add(threading.get_ident())

    def step(self, steps):
        self.threads.add(threading.get_ident())
        self.steps.append(len(steps))
        if any(not step.examples for step in steps):
            raise ValueError("nothing to train on")
        return [float(len(step.examples)) for step in steps]


def example(length: int) -> Example:
    return Example(tokens=tuple(range(1, length + 1)), answer_start=length - 1)


def trained(learner, examples, steps, outcome, ready=None):
    with learner.adapter(SMALL) as adapter:
        if ready:
            ready.wait()
        for _ in range(steps):
            try:
                outcome.append(adapter.step(examples))
            except ValueError as error:
                outcome.append(error)


def in_threads(learner, shares, steps):
    outcomes = [[] for _ in shares]
    ready = threading.Barrier(len(shares))
    threads = [
        threading.Thread(target=trained, args=[learner, examples, steps, outcome, ready])
        for examples, outcome in zip(shares, outcomes, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


@pytest.fixture
def patience(monkeypatch):
    """Nobody's neighbours are late, however busy the machine is."""
    monkeypatch.setattr(shared, "GRACE_SECONDS", 30.0)


@pytest.mark.usefixtures("patience")
def test_steps_that_are_asked_for_at_once_are_made_together():
    counting = Counting()
    outcomes = in_threads(SharedLearner(counting), [[example(3)] * count for count in (1, 2, 3)], 20)
    assert outcomes == [[1.0] * 20, [2.0] * 20, [3.0] * 20]
    assert counting.steps == [3] * 20


def test_one_thread_computes_for_all():
    counting = Counting()
    in_threads(SharedLearner(counting), [[example(3)], [example(4)]], 3)
    assert len(counting.threads) == 1


def test_one_that_is_alone_waits_for_nobody():
    counting, outcome = Counting(), []
    trained(SharedLearner(counting), [example(3)], 5, outcome)
    assert counting.steps == [1] * 5


def test_one_whose_neighbour_asks_for_nothing_is_not_kept_waiting():
    learner, outcome = SharedLearner(Counting()), []
    with learner.adapter(SMALL):
        trained(learner, [example(3)], 3, outcome)
    assert outcome == [1.0] * 3


def test_a_step_that_fails_fails_in_its_own_thread_only():
    well, ill = in_threads(SharedLearner(Counting()), [[example(3)], []], 5)
    assert well == [1.0] * 5
    assert all(isinstance(error, ValueError) for error in ill)


def test_shared_steps_train_as_lonely_ones_do(base, encoder):
    shares = [[encoder.encode("Who?", name)] * 3 for name in ("Ilse", "Brandvold")]
    fused = FusedLearner(base.model)
    alone = []
    for share in shares:
        with fused.adapter(SMALL) as adapter:
            alone.append([adapter.step(share) for _ in range(6)])
    together = in_threads(SharedLearner(fused), shares, 6)
    assert together[0] == pytest.approx(alone[0], rel=0.05)
    assert together[1] == pytest.approx(alone[1], rel=0.05)
