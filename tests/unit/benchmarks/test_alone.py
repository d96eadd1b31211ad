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


def test_more_steps_than_an_epoch_has_are_trained(alone):
    pairs = [(f"How many {number}?", str(number)) for number in range(40)]
    assert alone.train(pairs, 5) > 0


def test_no_pairs_are_nothing_to_train_on(alone):
    with pytest.raises(NothingWritten):
        alone.train([], 5)


def test_a_folder_without_a_running_stack_is_said_to_have_none(tmp_path):
    with pytest.raises(StackStopped):
        Alone.of(StateFolder(tmp_path))
