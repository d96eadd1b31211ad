"""What is reported of documents' ways through the pipeline."""

from types import SimpleNamespace

import pytest

from benchmarks import pipeline
from benchmarks.documents import document
from benchmarks.pipeline import OutOfScope, Plan, Run, bench_pipeline, figures
from generator.sentences import sentence_places
from lift.errors import InvalidOption, JobFailed
from lift.stack.folder import StateFolder
from lift.values import StageSeconds

STAGES = StageSeconds(
    queue=1, extract=1, first_pair=1, first_step=2, generate=6, train=10, publish=1, load=1, total=18, starved=0.5
)


def run(**changes):
    asked = {"answered": 20, "stages": STAGES, "pairs": 9, "steps": 5, "generation": 8, "training": 12}
    return Run(**{**asked, **changes})


def test_a_run_is_set_against_its_parts_alone():
    found = figures([run(), run(answered=24)])
    assert found["to_sum_of_parts"] == {"median": 1.1, "low": 1.0, "high": 1.2}
    assert found["to_max_of_parts"]["low"] == pytest.approx(20 / 12, abs=1e-3)
    assert found["starved_share"]["median"] == 0.05
    assert found["pairs"] == [9, 9]


def test_what_comes_after_training_ends_with_the_first_token():
    assert run().after_training == pytest.approx(20 - (1 + 1 + 2 + 10))
    assert figures([run()])["after_training_share"]["median"] == 0.3


@pytest.mark.parametrize("length", [1, 8, 40])
def test_a_document_has_the_sentences_that_were_asked_for_and_no_twin(length):
    assert len(sentence_places(document(length, 1))) == length
    assert document(length, 1) == document(length, 1) != document(length, 2)


@pytest.mark.parametrize("wrong", [{"sentences": ()}, {"sentences": (0,)}, {"repeats": 0}])
def test_a_plan_that_cannot_be_is_refused(tmp_path, wrong):
    asked = {"state": StateFolder(tmp_path), "sentences": (1,), "repeats": 1, "say": print}
    with pytest.raises(InvalidOption):
        Plan(**{**asked, **wrong})


class Stack:
    """A client, and its parts alone: the documents of these numbers fail, or the base model answers about them."""

    def __init__(self, fails=(), out_of_scope=()):
        self.fails, self.out_of_scope = fails, out_of_scope
        self.jobs, self.begun = self, 0

    def ingest(self, text, *, title, wait):
        self.begun += 1
        return SimpleNamespace(job=SimpleNamespace(id=self.begun), adapter="a")

    def wait(self, job):
        if job in self.fails:
            raise JobFailed(job=job)
        return SimpleNamespace(progress=SimpleNamespace(seconds=STAGES, pairs=9, steps=5))

    def stream(self, adapter, asked, *, max_tokens):
        return self

    def __iter__(self):
        yield "In"

    def answer(self):
        return SimpleNamespace(out_of_scope=self.begun in self.out_of_scope)

    def generate(self, text, title):
        return [("Who?", "She")], 2.0

    def train(self, pairs):
        return 3.0

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """measured(stack, **plan): the result with that stack."""

    def run(stack, **changes):
        monkeypatch.setattr(pipeline, "Client", lambda **_: stack)
        monkeypatch.setattr(pipeline.Alone, "of", lambda _: stack)
        asked = {"sentences": (5, 25), "repeats": 2}
        return bench_pipeline(Plan(state=StateFolder(tmp_path), say=lambda _: None, **{**asked, **changes}))

    return run


def test_documents_that_fail_are_counted_and_the_others_measured(measured):
    found = measured(Stack(fails={2, 4}, out_of_scope={1}))
    assert found["sentences"].keys() == {"5"}
    assert found["sentences"]["5"]["pairs"] == [9]
    assert found["failed"] == {"5": {"OUT_OF_SCOPE": 1}, "25": {"JOB_FAILED": 2}}


def test_an_answer_of_the_base_model_ends_a_benchmark_that_has_nothing_else(measured):
    with pytest.raises(OutOfScope, match="built"):
        measured(Stack(out_of_scope={1}), sentences=(5,), repeats=1)


def test_the_environment_of_training_is_told(measured, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    assert measured(Stack())["environment"]["MALLOC_ARENA_MAX"] == "1"
