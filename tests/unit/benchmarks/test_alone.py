"""Training without a stack is a job's training, and what is said where there is no stack."""

from contextlib import contextmanager

import pytest

from benchmarks.alone import Alone
from lift.errors import NothingWritten, StackStopped
from lift.internal.v1.generator_pb2 import Coverage, GenerateResponse
from lift.settings import GeneratorSettings, ModelSettings, Settings, TrainerSettings
from lift.stack.folder import StateFolder
from trainer.testing import ScriptedGenerator, make_tiny_model, serving

TOKEN = "node-token"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    with serving(ScriptedGenerator(TOKEN)) as address:
        parts = Alone(
            Settings(
                node_token=TOKEN,
                state_dir=folder,
                model=ModelSettings(base_model=str(make_tiny_model(folder / "tiny")), max_lora_rank=8),
                generator=GeneratorSettings(address=address),
                trainer=TrainerSettings(profile="embedded", device="cpu", threads=1),
            )
        )
        yield parts
        parts.close()


class Watched:
    """A learner that says where its adapters begin and what each is given in a step."""

    def __init__(self, learner):
        self._learner = learner
        self.begun = []
        self.steps = []

    @contextmanager
    def adapter(self, hyperparameters, primer):
        self.begun.append(primer)
        self.steps.append([])
        with self._learner.adapter(hyperparameters) as adapter:
            yield WatchedAdapter(adapter, self.steps[-1])

    def unadapted(self):
        return self._learner.unadapted()


class WatchedAdapter:
    """Its adapter, and the examples and rates of its steps."""

    def __init__(self, adapter, steps):
        self._adapter = adapter
        self._steps = steps

    def step(self, examples, left=1.0):
        self._steps.append((examples, left))
        return self._adapter.step(examples, left)


def test_what_is_trained_alone_is_a_jobs_work(alone, monkeypatch):
    watched, primer = Watched(alone._workshop.learner), object()
    monkeypatch.setattr(alone._workshop, "learner", watched)
    monkeypatch.setattr(alone._workshop, "primer", primer)
    written, seconds = alone.generate("\n".join(f"line {number} of this" for number in range(20)), "lines")
    assert seconds > 0
    assert alone.train(written) > 0
    assert watched.begun == [primer, primer]
    (warm_up,), steps = watched.steps
    assert len(warm_up[0]) == 24
    sizes = [len(examples) for examples, _ in steps]
    assert sizes[:2] == [24 + 2, 14 + 1]  # two are held out; the base model's own answers are beside the others
    assert (max(sizes[2:]), len(sizes[2:])) == (8 + 1, 40)  # `least_steps`
    assert steps[-1][1] < 0.1  # the rate falls
    first, later = ({example for examples, _ in part for example in examples} for part in (steps[:2], steps[2:]))
    assert later - first - set(alone._workshop.own_answers())  # questions with words left out


def test_no_pairs_are_nothing_to_train_on(alone):
    with pytest.raises(NothingWritten):
        alone.train([GenerateResponse(coverage=Coverage())])


def test_a_folder_without_a_running_stack_is_said_to_have_none(tmp_path):
    with pytest.raises(StackStopped):
        Alone.of(StateFolder(tmp_path))
