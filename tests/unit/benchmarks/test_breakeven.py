"""Where the line of an adapter's cost crosses those of long context and retrieval."""

import pytest

from benchmarks.breakeven import Plan, figures
from lift.errors import InvalidOption


def test_training_is_earned_back_by_what_each_question_saves():
    found = figures(60.0, {"adapter": [0.5, 0.4, 0.6], "long context": [1.1], "retrieval": [0.53]})
    assert found["break_even_questions"] == {"long context": 100, "retrieval": 2000}
    assert found["seconds_a_question"]["adapter"] == {"median": 0.5, "low": 0.4, "high": 0.6}


@pytest.mark.parametrize("rival", [0.5, 0.4])
def test_where_a_rivals_questions_cost_no_more_there_is_no_such_number(rival):
    found = figures(60.0, {"adapter": [0.5], "long context": [1.0], "retrieval": [rival]})
    assert found["break_even_questions"] == {"long context": 120, "retrieval": None}


@pytest.mark.parametrize("wrong", [{"sentences": ()}, {"sentences": (0,)}, {"concurrency": (0,)}, {"repeats": 0}])
def test_a_plan_that_cannot_be_is_refused(tmp_path, wrong):
    asked = {"state_dir": tmp_path, "sentences": (5,), "concurrency": (1,), "repeats": 1, "say": print}
    with pytest.raises(InvalidOption):
        Plan(**{**asked, **wrong})
