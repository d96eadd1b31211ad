"""Where the stages of a job are placed, from the seconds that they took."""

from lift.timeline import spans
from lift.values import StageSeconds


def placed(**seconds):
    return {span.stage: (span.start_seconds, span.end_seconds) for span in spans(StageSeconds(**seconds))}


def test_stages_follow_one_another_and_training_overlaps_generation():
    stages = placed(
        queue=1,
        extract=0.5,
        warm_up=2,
        first_pair=3,
        first_step=4,
        generate=20,
        train=30,
        publish=1.5,
        load=2,
        measure=3,
        total=46,
    )
    assert stages == {
        "queue": (0, 1),
        "extract": (1, 1.5),
        "warm up": (1.5, 3.5),
        "first pair": (3.5, 6.5),
        "generate": (3.5, 23.5),
        "train": (7.5, 37.5),
        "publish": (39.5, 41),
        "load": (41, 43),
        "measure": (43, 46),
    }


def test_a_job_that_runs_has_the_stages_that_have_begun():
    stages = placed(queue=1, extract=1, first_pair=2, first_step=3, generate=5, train=1)
    assert stages == {"queue": (0, 1), "extract": (1, 2), "first pair": (2, 4), "generate": (2, 7), "train": (5, 6)}


def test_a_job_that_waits_has_none():
    assert placed() == {}


def test_a_job_of_an_older_trainer_starts_training_at_its_first_pair():
    assert placed(first_pair=2, generate=5, train=9, publish=1)["train"] == (2, 11)
    assert placed(first_pair=2, generate=5, train=9, publish=1)["publish"] == (11, 12)
