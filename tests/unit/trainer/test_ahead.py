"""Learning ahead: each pair as often as without it, and the last epoch together."""

from collections import Counter

import pytest

from trainer.ahead import Ahead
from trainer.batches import Example


def examples(number: int) -> list[Example]:
    """Examples of one length."""
    return [Example(tokens=(each, 0), answer_start=1) for each in range(number)]


def ahead(later_epochs: int, batch_size: int = 4) -> Ahead:
    return Ahead(later_epochs, batch_size, seed=0)


@pytest.mark.parametrize("later_epochs", [1, 2, 3, 5])
def test_all_batches_ahead_and_what_is_due_make_every_epoch_once(later_epochs):
    chosen, learned = ahead(later_epochs), examples(12)
    times: Counter[Example] = Counter()
    while (again := chosen.batch(learned)) is not None:
        epoch, batch = again
        assert all(times[example] <= epoch for example in batch)
        times.update(batch)
    assert set(times.values()) <= {later_epochs - 1}
    everybody = [*learned, *examples(20)[12:]]
    for epoch in range(later_epochs):
        times.update(chosen.due(everybody, epoch))
    assert times == Counter(dict.fromkeys(everybody, later_epochs))


def test_the_last_epoch_is_learned_by_all_together():
    chosen, learned = ahead(3), examples(8)
    while chosen.batch(learned) is not None:
        pass
    assert [len(chosen.due(learned, epoch)) for epoch in range(3)] == [0, 0, 8]


@pytest.mark.parametrize("later_epochs", [-1, 0, 1])
def test_nothing_is_ahead_of_the_last_epoch(later_epochs):
    assert ahead(later_epochs).batch(examples(12)) is None


def test_what_is_the_least_ahead_goes_on_first():
    chosen, learned = ahead(4), examples(4)
    assert chosen.batch(learned) == (0, learned) or chosen.due(learned, 0) == []
    more = examples(8)
    epoch, batch = chosen.batch(more)
    assert epoch == 0
    assert set(batch) == set(more[4:])


def test_less_than_a_batch_waits():
    assert ahead(5).batch(examples(3)) is None
