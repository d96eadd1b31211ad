"""The benchmark of training on a tiny model: what it prints, and that every contestant trains on the same tokens."""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import pytest
import torch

from benchmarks.contestants import Ours, Together, TransformersTrainer, encoded
from benchmarks.shapes import SHAPES, random_model
from benchmarks.train import Plan, bench_train
from lift.errors import InvalidOption
from trainer import base_model
from trainer.batches import Encoder
from trainer.fused import FusedLearner
from trainer.profiles import Hyperparameters
from trainer.testing import make_tiny_model

SHORT = Plan(model="", device="cpu", rank=8, pairs=8, repeats=1, examples=24)
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
    ours = Ours("lift", partial(FusedLearner, base.model), SMALL).session(base.model, examples)
    theirs = TransformersTrainer("rival", 4, SMALL, tuned=tuned).session(base.model, examples)
    assert (len(ours), len(theirs)) == (3, 6)
    assert sum(step.tokens for step in ours) == sum(step.tokens for step in theirs)
    assert modules == [type(module) for module in base.model.modules()]


@pytest.mark.filterwarnings("ignore")
def test_the_result_names_score_limit_and_every_rival(folder):
    said = []
    result = bench_train(replace(SHORT, model=str(folder)), said.append)
    trl = {"trl"} if find_spec("trl") else set()
    assert set(result["rivals"]) == {"lift-peft", "trainer-tuned", "paper-recipe"} | trl
    assert all(ratio > 0 for ratio in result["rivals"].values())
    assert result["score"] == pytest.approx(result["tokens_per_second"] / result["limit_tokens_per_second"], abs=2e-3)
    assert result["rank"] == 8
    assert len([line for line in said if "tokens/s" in line]) == len(result["rivals"]) + 1


def test_a_session_may_have_several_epochs(folder):
    base = base_model.load(str(folder), "cpu", threads=1)
    examples = encoded([(f"How many {n}?", str(n)) for n in range(24)], Encoder(base.tokenizer, _template(base), 512))
    once, thrice = (
        Ours("lift", partial(FusedLearner, base.model), SMALL, epochs=n).session(base.model, examples) for n in (1, 3)
    )
    assert len(thrice) == 3 * len(once)


def test_jobs_that_share_steps_train_on_all_pairs(folder):
    base = base_model.load(str(folder), "cpu", threads=1)
    examples = encoded([(f"How many {n}?", str(n)) for n in range(24)], Encoder(base.tokenizer, _template(base), 512))
    times = Together("together", 3, partial(FusedLearner, base.model), replace(SMALL, batch_size=4)).session(
        base.model, examples
    )
    assert len(times) == 2
    assert sum(step.tokens for step in times) == sum(len(example.tokens) for example in examples)


def test_jobs_that_share_steps_are_a_ratio_to_one(folder):
    result = bench_train(replace(SHORT, model=str(folder), pairs=4, jobs=3, rivals=False), print)
    assert result["jobs"] == 3
    assert result["jobs_together"] > 0
    assert result["rivals"] == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 0},
        {"pairs": 0},
        {"rival_pairs": 0},
        {"repeats": 0},
        {"epochs": 0},
        {"jobs": 0},
        {"jobs": 2},
        {"examples": 8},
        {"profile": "none"},
        {"shape": "none"},
    ],
)
def test_a_plan_that_no_run_can_have_is_refused(folder, wrong):
    with pytest.raises(InvalidOption):
        bench_train(replace(SHORT, model=str(folder), **wrong), print)


def test_more_examples_than_there_are_pairs_are_refused(folder):
    with pytest.raises(InvalidOption, match="at most 1036"):
        bench_train(replace(SHORT, model=str(folder), examples=1037), print)


def test_a_random_model_has_the_shape(monkeypatch):
    small = {**SHAPES["smollm2-135m"], "num_hidden_layers": 1, "vocab_size": 100}
    monkeypatch.setitem(SHAPES, "smollm2-135m", small)
    model = random_model("smollm2-135m", torch.device("cpu"), torch.bfloat16)
    assert (model.config.num_hidden_layers, model.dtype, model.device.type) == (1, torch.bfloat16, "cpu")
    assert FusedLearner.takes(model.config)
    again = random_model("smollm2-135m", torch.device("cpu"), torch.bfloat16)
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, again.model.layers[0].mlp.up_proj.weight)


def _template(base):
    from lift.template import PromptTemplate

    return PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
