"""`lift bench breakeven` against a gateway whose engine always says the same."""

import itertools

import pytest

from benchmarks import breakeven
from benchmarks.breakeven import Plan, bench_breakeven
from evals.retrieval import Retriever
from lift.errors import JobFailed, QuestionTooLong


@pytest.fixture
def measured(gateway, state, monkeypatch):
    """measured(failing=, **plan): the result, where the trainings of these numbers fail."""

    def run(failing=(), **changes):
        number = itertools.count(1)

        async def trained(client, text, title):
            if next(number) in failing:
                raise JobFailed(job="j")
            return 10.0, None  # there is no trainer here; the base model answers for the adapter

        monkeypatch.setattr(breakeven, "_trained", trained)
        gateway.leave_client_file(state)
        asked = {"sentences": (8, 40), "concurrency": (1, 2), "repeats": 1}
        return bench_breakeven(Plan(state_dir=state.path, say=lambda _: None, **{**asked, **changes}))

    return run


def asked_of(gateway):
    return [request.turns[-1].content for request in gateway.engine.asked]


def test_all_methods_are_asked_the_same_questions_with_what_each_puts_before_them(measured, gateway):
    found = measured()
    assert found["sentences"].keys() == {"8", "40"}
    for of_length in found["sentences"].values():
        assert of_length["training_seconds"]["median"] == 10.0
        assert all(seconds["median"] > 0 for seconds in of_length["first_seconds"].values())
        assert of_length["prompt_tokens"].keys() == of_length["first_seconds"].keys()
        assert (of_length["failed"], of_length["rivals_failed"]) == ({}, {})
        for level in of_length["concurrency"].values():
            assert all(seconds["median"] > 0 for seconds in level["seconds_a_question"].values())
    asked = asked_of(gateway)
    bare = {question for question in asked if "\n\n" not in question}
    behind = [question.rpartition("\n\n") for question in asked if "\n\n" in question]
    long = [question for _, _, question in behind if question == breakeven.LONG_QUESTION]
    assert {question for _, _, question in behind} - {*long} == bare
    later = len(bare) - 1  # each of them of one document
    assert len(asked) == 1 + len(long) + 3 * (2 + later)  # three methods, of two documents the first question as well
    assert len(long) == 2


def test_no_document_is_cached_before_its_first_question(measured, gateway):
    measured(sentences=(40,), concurrency=(1,))
    asked = asked_of(gateway)
    first = next(number for number, question in enumerate(asked) if question.endswith(f"\n\n{breakeven.QUESTION}"))
    document = asked[first].removesuffix(f"\n\n{breakeven.QUESTION}")
    assert not any(question.startswith(document) for question in asked[:first])


def test_five_passages_are_searched_for_as_each_question_is_asked(measured, gateway, monkeypatch):
    best, seen = Retriever.best, []

    def watched(retriever, question, count):
        seen.append((count, len(gateway.engine.asked)))
        return best(retriever, question, count)

    monkeypatch.setattr(Retriever, "best", watched)
    measured(sentences=(40,), concurrency=(1,))
    assert {count for count, _ in seen} == {5}
    assert len({answered for _, answered in seen}) == len(seen)  # no search was done ahead of a question


def test_a_training_that_fails_is_counted_and_the_others_stand(measured):
    found = measured(failing={2, 3, 4}, repeats=2, concurrency=(1,))
    assert found["sentences"].keys() == {"8"}
    assert found["failed"] == {"8": {"JOB_FAILED": 1}, "40": {"JOB_FAILED": 2}}


def test_where_all_trainings_fail_the_benchmark_does(measured):
    with pytest.raises(JobFailed):
        measured(failing={1, 2})


def test_a_document_that_is_too_long_for_a_question_loses_its_middle(measured):
    found = measured(sentences=(800,), concurrency=(1,))["sentences"]["800"]
    assert 0.3 < found["document_in_context"]["median"] < 0.9
    assert found["rivals_failed"] == {}


def test_a_rival_that_does_not_answer_is_reported_and_all_else_stands(measured, monkeypatch):
    async def fitting(client, text):
        raise QuestionTooLong(characters=9, limit=5)

    monkeypatch.setattr(breakeven, "_fitting", fitting)
    found = measured(sentences=(8,), concurrency=(1,))["sentences"]["8"]
    assert found["rivals_failed"] == {"long context": "QUESTION_TOO_LONG"}
    assert found["concurrency"]["1"]["seconds_a_question"].keys() == {"adapter", "retrieval"}
