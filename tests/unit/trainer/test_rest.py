"""Pairs that are learned rest, and no others."""

import random

import pytest
from torch.testing import assert_close

from trainer.batches import Example
from trainer.fused import FusedLearner
from trainer.peft_learner import PeftLearner
from trainer.profiles import Hyperparameters
from trainer.rest import AWAKE, awake, seen
from trainer.shared import SharedLearner

EXAMPLES = [Example(tokens=(1, 2, number), answer_start=2) for number in range(400)]


def test_of_what_is_learned_a_share_stays_and_of_the_rest_all():
    worst = {example: 0.1 if example.tokens[2] < 200 else 2.0 for example in EXAMPLES}
    taken = awake(EXAMPLES, worst, 0.5, random.Random(0))
    assert set(EXAMPLES[200:]) <= set(taken)
    assert len(taken) - 200 == pytest.approx(200 * AWAKE, abs=20)


def test_what_was_never_seen_does_not_rest():
    assert awake(EXAMPLES, {}, 0.5, random.Random(0)) == EXAMPLES


def test_an_epoch_is_never_empty():
    assert awake(EXAMPLES[:1], {EXAMPLES[0]: 0.0}, 0.5, random.Random(1)) == EXAMPLES[:1]


def test_a_loss_is_that_of_the_example_in_whose_place_it_came_about():
    one, thinned, other, elsewhere = EXAMPLES[:4]
    assert seen([one, other, elsewhere], [thinned, other, elsewhere], {thinned: 0.1, other: 0.2}) == {
        one: 0.1,
        other: 0.2,
    }


@pytest.fixture(params=[PeftLearner, FusedLearner, lambda model: SharedLearner(FusedLearner(model))])
def learner(request, base):
    return request.param(base.model)


def test_a_learner_says_of_each_example_how_badly_its_worst_token_went(learner, encoder):
    one, other = (encoder.encode(*pair) for pair in (("What is blue?", "the sky"), ("Who left?", "Ada")))
    with learner.adapter(Hyperparameters(rank=8, alpha=16.0, learning_rate=1e-8, rest_below=0.5)) as adapter:
        mean = adapter.step([one, other])
        together = adapter.worst
        alone = {}
        for example in (one, other):
            adapter.step([example])
            assert adapter.worst.keys() == {example}
            alone[example] = adapter.worst[example]
    assert together.keys() == {one, other}
    assert max(together.values()) > mean
    for example in (one, other):
        assert_close(together[example], alone[example], rtol=0.05, atol=0.05)
