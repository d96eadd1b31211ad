"""What is reported of one tenant's questions beside another's flood."""

from benchmarks.flood import FLOOD_AT_ONCE, Shared, flood_figures
from benchmarks.queries import Outcome, Query

ASKED = Query(adapter=None, question="Who?")


def answer(seconds):
    return Outcome(query=ASKED, seconds=seconds)


REFUSED = Outcome(query=ASKED, seconds=0.01, error="QUEUE_FULL")


def test_single_questions_are_set_against_what_they_took_alone():
    found = flood_figures([Shared(alone=[answer(1)], flooded=[answer(1.5), REFUSED], flood=[answer(9), REFUSED])])
    assert found == {
        "alone_seconds": {"p50": 1, "p99": 1},
        "flooded_seconds": {"p50": 1.5, "p99": 1.5},
        "flooded_to_alone": {"p50": 1.5, "p99": 1.5},
        "failed": 1,
        "flood_at_once": FLOOD_AT_ONCE,
        "flood_answered": 1,
        "flood_refused": 1,
    }


def test_where_no_single_question_was_answered_there_is_no_ratio():
    found = flood_figures([Shared(alone=[answer(1)], flooded=[REFUSED], flood=[])])
    assert (found["flooded_seconds"], found["flooded_to_alone"], found["failed"]) == ({}, {}, 1)
