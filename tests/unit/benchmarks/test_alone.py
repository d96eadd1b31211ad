"""Training without a stack, and what is said where there is none."""

import pytest

from benchmarks.alone import Alone
from lift.errors import NothingWritten, StackStopped
from lift.settings import ModelSettings, Settings, TrainerSettings
from lift.stack.folder import StateFolder
from trainer.testing import make_tiny_model


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    model = ModelSettings(base_model=str(make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")), max_lora_rank=8)
    parts = Alone(Settings(model=model, trainer=TrainerSettings(profile="embedded", device="cpu", threads=1)))
    yield parts
    parts.close()


def test_a_short_document_has_the_steps_that_a_job_makes_of_it(alone):
    pairs = [(f"How many {number}?", str(number)) for number in range(40)]
    sizes = [len(batch) for batch in alone.batches(pairs)]
    assert sizes[:2] == [24, 16]
    assert (max(sizes[2:]), len(sizes[2:])) == (8, 40)  # `least_steps`
    assert alone.train(pairs) > 0


def test_no_pairs_are_nothing_to_train_on(alone):
    with pytest.raises(NothingWritten):
        alone.train([])


def test_a_folder_without_a_running_stack_is_said_to_have_none(tmp_path):
    with pytest.raises(StackStopped):
        Alone.of(StateFolder(tmp_path))
