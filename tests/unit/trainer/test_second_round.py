"""Which sentences get a second round, and what its batches are."""

import itertools

from trainer.examples.batches import Example
from trainer.jobs.second_round import FIRST_RATE, WEAK_LOSS, second_round, weak_sentences
from trainer.profiles import Hyperparameters


class Measured:
    """An adapter whose loss of an example is its last token over 100."""

    def step(self, batch, left=1.0):
        raise AssertionError

    def loss(self, examples):
        return sum(example.tokens[-1] for example in examples) / len(examples) / 100


def learned(losses: dict[int, list[int]]) -> list[tuple[int, Example]]:
    return [
        (about, Example(tokens=(about, at, loss), answer_start=2))
        for about in losses
        for at, loss in enumerate(losses[about])
    ]


def test_a_sentence_is_weak_where_the_mean_loss_of_its_pairs_is_high():
    limit = round(100 * WEAK_LOSS)
    about = learned({0: [0, limit], 1: [limit + 1, limit + 1], 2: [0, 3 * limit], 3: [0]})
    assert weak_sentences(Measured(), about) == {1, 2}


def test_the_round_keeps_to_its_budget_and_trains_on_as_many_others_beside_the_weak():
    about = learned({0: [1] * 6, 1: [2] * 20})
    settings = Hyperparameters(batch_size=4, second_round=0.5)
    batches = list(second_round(about, {0}, 9, settings))
    assert len(batches) == 5
    for batch, _ in batches:
        weak = [example for example in batch if example.tokens[0] == 0]
        assert len(batch) == 2 * len(weak)
        assert weak
    rates = [left for _, left in batches]
    assert rates[0] == FIRST_RATE
    assert all(0 < later < sooner for sooner, later in itertools.pairwise(rates))


def test_a_document_that_is_weak_throughout_has_nothing_beside_it():
    batches = list(second_round(learned({0: [1] * 4}), {0}, 2, Hyperparameters(batch_size=4, second_round=1.0)))
    assert [len(batch) for batch, _ in batches] == [4, 4]
