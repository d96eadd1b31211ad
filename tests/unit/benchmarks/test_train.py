"""The benchmark of training on a tiny model: what it prints, and that every contestant trains on the same tokens."""

from importlib.util import find_spec

import pytest

from benchmarks.contestants import Ours, TransformersTrainer, encoded
from benchmarks.train import bench_train
from lift.errors import InvalidOption
from trainer import base_model
from trainer.batches import Encoder
from trainer.fused import FusedLearner
from trainer.profiles import Hyperparameters
from trainer.testing import make_tiny_model

SMALL = Hyperparameters(rank=8, alpha=16, batch_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.mark.filterwarnings("ignore")  # of accelerate and transformers, which are rivals here
@pytest.mark.parametrize("tuned", [True, False])
def test_rivals_train_on_the_same_tokens_and_leave_the_model_alone(folder, tuned):
    base = base_model.load(str(folder), "cpu", threads=1)
    encoder = Encoder(base.tokenizer, _template(base), 512)
    examples = encoded([(f"How many {n}?", str(n)) for n in range(24)], encoder)
    modules = [type(module) for module in base.model.modules()]
    ours = Ours("lift", FusedLearner, SMALL).session(base.model, examples)
    theirs = TransformersTrainer("rival", 4, SMALL, tuned=tuned).session(base.model, examples)
    assert (len(ours), len(theirs)) == (3, 6)
    assert sum(step.tokens for step in ours) == sum(step.tokens for step in theirs)
    assert modules == [type(module) for module in base.model.modules()]


@pytest.mark.filterwarnings("ignore")
def test_the_result_names_score_limit_and_every_rival(folder):
    said = []
    result = bench_train(str(folder), rank=8, pairs=8, repeats=1, examples=24, say=said.append)
    trl = {"trl"} if find_spec("trl") else set()
    assert set(result["rivals"]) == {"lift-peft", "trainer-tuned", "paper-recipe"} | trl
    assert all(ratio > 0 for ratio in result["rivals"].values())
    assert result["score"] == pytest.approx(result["tokens_per_second"] / result["limit_tokens_per_second"], abs=2e-3)
    assert result["rank"] == 8
    assert len([line for line in said if "tokens/s" in line]) == len(result["rivals"]) + 1


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"pairs": 0}, {"repeats": 0}, {"examples": 8}])
def test_numbers_that_no_run_can_have_are_refused(folder, wrong):
    with pytest.raises(InvalidOption):
        bench_train(str(folder), **{"rank": 8, "pairs": 8, "repeats": 1, "examples": 24, "say": print, **wrong})


def _template(base):
    from lift.template import PromptTemplate

    return PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
