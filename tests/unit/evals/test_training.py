"""How adapters are trained for each method."""

import pytest

from evals.training import trainings
from lift.values import TrainingOptions


def test_raw_text_is_trained_on_without_what_is_said_about_questions():
    given = TrainingOptions(generation_profile="needle", pairs_per_sentence=5, custom_prompt="Ask {sentence}", epochs=3)
    assert trainings(given)["raw"] == TrainingOptions(strategy="raw", epochs=3)


def test_raw_text_has_more_epochs_unless_some_are_given():
    assert trainings(None)["raw"] == TrainingOptions(strategy="raw", epochs=8)
    assert trainings(TrainingOptions(strategy="sentence"), 16)["raw"] == TrainingOptions(strategy="raw", epochs=16)
    assert trainings(TrainingOptions(epochs=3), 16)["raw"] == TrainingOptions(strategy="raw", epochs=3)
    others = trainings(TrainingOptions(strategy="sentence"))
    assert {others[name].epochs for name in ("lift", "templora", "lift+raw")} == {None}


@pytest.mark.parametrize("strategy", ["sentence", "grounded"])
def test_raw_text_comes_beside_the_questions_of_the_strategy_that_is_named(strategy):
    given = TrainingOptions(strategy=strategy, generation_profile="needle")
    both = TrainingOptions(strategy=f"{strategy}+raw", generation_profile="needle")
    assert (trainings(given)["lift"], trainings(given)["lift+raw"]) == (given, both)


@pytest.mark.parametrize("strategy", [None, "raw", "grounded+raw"])
def test_what_raw_text_would_be_added_to_must_be_known(strategy):
    assert set(trainings(TrainingOptions(strategy=strategy))) == {"lift", "raw", "templora"}


def test_templora_learns_the_text_piece_by_piece():
    given = TrainingOptions(strategy="grounded", learning_rate=1e-4)
    expected = TrainingOptions(strategy="raw", learning_rate=1e-4, passes_in_order=2, batch_size=1)
    assert trainings(given)["templora"] == expected
