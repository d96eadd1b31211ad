"""What is reported of documents' ways through the pipeline."""

import pytest

from benchmarks.documents import document
from benchmarks.pipeline import Plan, Run, figures
from generator.sentences import sentence_places
from lift.errors import InvalidOption
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
