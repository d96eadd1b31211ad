"""How many steps a document gets."""

import math

import pytest

from trainer.profiles import PROFILES, Hyperparameters
from trainer.training import SMALLEST_BATCH, later_epochs


@pytest.mark.parametrize("pairs", [1, 3, 20, 44, 100, 250])
def test_a_short_document_gets_the_least_steps_in_smaller_batches_and_more_epochs(pairs):
    settings = Hyperparameters(epochs=6, batch_size=24, least_steps=60)
    size, epochs = later_epochs(pairs, settings)
    steps = math.ceil(pairs / size) * epochs
    assert min(SMALLEST_BATCH, pairs) <= size <= 24
    assert 60 <= steps < 60 + math.ceil(pairs / size) + epochs
    assert epochs == 5 or size == SMALLEST_BATCH


def test_a_longer_document_is_trained_on_as_its_profile_says():
    assert later_epochs(400, Hyperparameters(epochs=6, batch_size=24, least_steps=60)) == (24, 5)


@pytest.mark.parametrize("name", ["paper", "llama3-niah"])
def test_the_papers_profiles_leave_it_at_their_epochs(name):
    assert later_epochs(3, PROFILES[name]) == (PROFILES[name].batch_size, PROFILES[name].epochs - 1)


@pytest.mark.parametrize("pairs", [3, 1000])
def test_who_asks_for_one_epoch_gets_one(pairs):
    assert later_epochs(pairs, Hyperparameters(epochs=1, batch_size=24, least_steps=40)) == (24, 0)
