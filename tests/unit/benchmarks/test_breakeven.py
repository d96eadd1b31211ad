"""Where the line of an adapter's cost crosses those of long context and retrieval."""

import pytest

from benchmarks.breakeven import ADAPTER, CONTEXT, RETRIEVAL, Plan, Seen, break_even, figures
from lift.errors import InvalidOption


def seen(**changes):
    one = {ADAPTER: [0.5, 0.4, 0.6], CONTEXT: [1.1], RETRIEVAL: [0.53]}
    asked = {"training": [50.0, 60.0, 70.0], "first": {**one, CONTEXT: [6.5]}, "later": {1: one}}
    return Seen(**{**asked, **changes})


def test_training_is_earned_back_by_what_each_question_saves():
    found = figures(seen())
    level = found["concurrency"]["1"]
    assert level["seconds_a_question"]["adapter"] == {"median": 0.5, "low": 0.4, "high": 0.6}
    assert level["break_even_questions"] == {
        "long context": 1 + 90,  # it has cost 60 + 0.5 - 6.5 s more once the first is answered
        "retrieval": 1 + 1999,
    }


def test_trainings_and_first_questions_are_reported_apart():
    found = figures(seen())
    assert found["training_seconds"] == {"median": 60.0, "low": 50.0, "high": 70.0}
    assert found["first_seconds"]["long context"]["median"] == 6.5


@pytest.mark.parametrize("saved", [0.0, -0.1])
def test_where_a_rivals_questions_cost_no_more_there_is_no_such_number(saved):
    assert break_even(60.0, saved) is None


def test_an_adapter_that_costs_less_at_once_is_the_cheaper_one_from_the_first_question_on():
    assert break_even(-5.0, 0.5) == 1


def test_a_rival_that_did_not_answer_is_reported_and_left_out_of_what_is_set_against_it():
    answered = {ADAPTER: [0.5], CONTEXT: [1.0]}
    found = figures(seen(first=answered, later={1: answered, 8: {}}, refused={RETRIEVAL: "QUEUE_FULL"}))
    assert found["rivals_failed"] == {"retrieval": "QUEUE_FULL"}
    assert found["concurrency"]["1"]["break_even_questions"].keys() == {"long context"}
    assert found["concurrency"]["8"] == {"seconds_a_question": {}, "break_even_questions": {}}


@pytest.mark.parametrize("wrong", [{"sentences": ()}, {"sentences": (0,)}, {"concurrency": (0,)}, {"repeats": 0}])
def test_a_plan_that_cannot_be_is_refused(tmp_path, wrong):
    asked = {"state_dir": tmp_path, "sentences": (5,), "concurrency": (1,), "repeats": 1, "say": print}
    with pytest.raises(InvalidOption):
        Plan(**{**asked, **wrong})
