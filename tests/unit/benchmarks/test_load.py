"""What is reported of queries that were answered or refused."""

from itertools import islice

import pytest

from benchmarks.load import Plan, bad_figures, figures
from benchmarks.queries import Outcome, Query, bad, good
from lift.errors import InvalidOption

GOOD, BAD = Query(adapter=None, question="Who?"), Query(adapter=None, question="", bad=True)


def answer(seconds, tokens=10, first=0.5):
    return Outcome(query=GOOD, seconds=seconds, first_token_seconds=first, tokens=tokens)


def test_good_queries_take_adapters_and_questions_in_turn():
    asked = good(["a", "b"], ["one", "two", "three"], 4)
    assert [(query.adapter, query.question) for query in asked] == [
        ("a", "one"),
        ("b", "two"),
        ("a", "three"),
        ("b", "one"),
    ]


def test_bad_queries_are_of_many_kinds_and_never_end():
    asked = list(islice(bad([None]), 20))
    assert all(query.bad for query in asked)
    assert len({(query.adapter, query.question, str(query.asking)) for query in asked[:5]}) == 5


def test_rates_are_those_of_each_run_and_failures_are_counted():
    found = figures([([answer(1), answer(3)], 4.0), ([answer(2), Outcome(query=GOOD, seconds=9, error="X")], 2.0)])
    assert (found["answers"], found["failed"]) == (3, 1)
    assert found["latency_seconds"]["p50"] == 2
    assert found["tokens_per_second"] == {"median": 5, "low": 5, "high": 5}
    assert found["answers_per_second"] == {"median": 0.5, "low": 0.5, "high": 0.5}


def test_a_level_without_any_answer_is_reported_as_that():
    assert figures([([Outcome(query=GOOD, seconds=1, error="QUEUE_FULL")], 1.0)]) == {"answers": 0, "failed": 1}


def test_bad_queries_are_set_against_what_good_ones_took_alone():
    refused = Outcome(query=BAD, seconds=0.01, error="QUESTION_EMPTY")
    found = bad_figures([([answer(1)], [answer(1.5)], [refused, Outcome(query=BAD, seconds=1, tokens=3)])])
    assert found["beside_to_alone"] == {"p50": 1.5, "p99": 1.5}
    assert (found["sent"], found["refused"], found["good_failed"]) == (2, 1, 0)


@pytest.mark.parametrize("wrong", [{"concurrency": ()}, {"concurrency": (0,)}, {"repeats": 0}])
def test_a_plan_that_cannot_be_is_refused(tmp_path, wrong):
    asked = {"state_dir": tmp_path, "concurrency": (1,), "adapters": (), "repeats": 1, "say": print}
    with pytest.raises(InvalidOption):
        Plan(**{**asked, **wrong})
