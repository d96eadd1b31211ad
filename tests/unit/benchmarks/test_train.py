"""The benchmark of training on a tiny model: what it prints, and that every contestant trains on the same tokens."""

import json
import math
import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from transformers import Trainer

from benchmarks import __main__ as command
from benchmarks.contest import Seen
from benchmarks.contestants import Ours, Session, StepTime, TransformersTrainer, encoded
from benchmarks.held_out import split
from benchmarks.shapes import SHAPES, random_model
from benchmarks.together import Jobs
from benchmarks.train import Plan, _rehearsed, bench_train
from lift.errors import InvalidOption
from lift.template import PromptTemplate
from trainer import base_model
from trainer.examples.batches import Encoder
from trainer.learners.fused import FusedAdapter, FusedLearner
from trainer.profiles import Hyperparameters
from trainer.testing import make_tiny_model

SHORT = Plan(model="", device="cpu", rank=8, pairs=(8,), rival_pairs=(4, 8), repeats=1, examples=24)
SMALL = Hyperparameters(rank=8, alpha=16, batch_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def base(folder):
    return base_model.load(str(folder), "cpu", threads=1)


@pytest.fixture
def examples(base):
    encoder = Encoder(base.tokenizer, PromptTemplate.for_vocabulary(base.tokenizer.get_vocab()), 512)
    return encoded([(f"How many {n}?", str(n)) for n in range(24)], encoder)


def ours_of(base, epochs=1):
    return Ours("lift", partial(FusedLearner, base.model), SMALL, epochs)


@pytest.mark.filterwarnings("ignore")  # of accelerate and transformers, which are rivals here
@pytest.mark.parametrize("tuned", [True, False])
def test_rivals_train_on_the_same_tokens_and_leave_the_model_alone(base, examples, tuned):
    modules = [type(module) for module in base.model.modules()]
    ours = ours_of(base).session(base.model, examples)
    theirs = TransformersTrainer("rival", 4, SMALL, 1, tuned=tuned).session(base.model, examples)
    assert (len(ours.steps), len(theirs.steps)) == (3, 6)
    assert sum(step.tokens for step in ours.steps) == sum(step.tokens for step in theirs.steps)
    assert modules == [type(module) for module in base.model.modules()]


@pytest.mark.filterwarnings("ignore")
def test_rivals_have_as_many_epochs(base, examples):
    ours = ours_of(base, epochs=3).session(base.model, examples)
    theirs = TransformersTrainer("rival", 4, SMALL, 3, tuned=True).session(base.model, examples)
    assert (len(ours.steps), len(theirs.steps)) == (9, 18)
    assert len(ours.epochs) == len(theirs.epochs) == 3
    for session in (ours, theirs):
        assert [end.seconds for end in session.epochs] == sorted(end.seconds for end in session.epochs)
        assert session.epochs[-1].seconds == pytest.approx(sum(step.seconds for step in session.steps))


def test_a_warm_rate_leaves_out_the_first_step():
    steps = [StepTime(tokens=10, seconds=8.0), StepTime(tokens=10, seconds=1.0), StepTime(tokens=10, seconds=1.0)]
    session = Session(steps=steps, epochs=[])
    assert (session.tokens_per_second, session.whole_tokens_per_second) == (10.0, 3.0)


@pytest.mark.filterwarnings("ignore")
def test_a_rival_that_fails_leaves_the_model_alone(base, examples, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError

    modules = [type(module) for module in base.model.modules()]
    monkeypatch.setattr(Trainer, "train", broken)
    with pytest.raises(RuntimeError):
        TransformersTrainer("rival", 4, SMALL, 1, tuned=True).session(base.model, examples)
    assert modules == [type(module) for module in base.model.modules()]


@pytest.mark.filterwarnings("ignore")
def test_the_result_names_score_limit_and_every_rival(monkeypatch, capsys, folder):
    arguments = ["--device", "cpu", "--rank", "8", "--pairs", "8,4", "--rival-pairs", "4,8", "--repeats", "1"]
    sizes = ["--examples", "24", "--jobs", "2", "--json"]
    monkeypatch.setattr(sys, "argv", ["lift bench", "train", "--model", str(folder), *arguments, *sizes])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert not end.value.code
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    rivals = {"lift-peft", "trainer-tuned", "paper-recipe"} | ({"trl"} if find_spec("trl") else set())
    assert set(result["rivals"]) == rivals
    assert result["rivals_failed"] == ({} if find_spec("trl") else {"trl": "not installed"})
    assert result["rank"] == 8
    assert result["peak_tflops"] > 0
    assert result["bandwidth_gb_per_second"] > 0
    assert result["jobs_together"] == result["jobs_measured"][0]["ratio"] > 0
    sizes = [(each["rank"], each["pairs_per_step"]) for each in result["jobs_measured"]]
    assert sizes == [(8, 4), (32, 12)]
    assert list(result["by_pairs"]) == ["8", "4"]
    assert result.items() >= result["by_pairs"]["8"].items()
    for size, of_size in result["by_pairs"].items():
        rate = of_size["tokens_per_second"]
        assert of_size["pairs_per_step"] == int(size)
        assert of_size["score"] == pytest.approx(rate / of_size["limit_tokens_per_second"], abs=2e-3)
        with_memory = rate / of_size["limit_with_memory_tokens_per_second"]
        assert of_size["score_with_memory"] == pytest.approx(with_memory, abs=2e-3)
        assert of_size["cold_tokens_per_second"] > 0
        assert of_size["held_out_loss"] > 0
        for name, ratio in of_size["rivals"].items():
            best = max(result["rivals_measured"][name], key=lambda row: row["tokens_per_second"])
            assert best["pairs_per_step"] == result["rival_pairs_per_step"][name]
            assert ratio == pytest.approx(rate / best["tokens_per_second"], abs=0.01)
    measured = {name: [row["pairs_per_step"] for row in rows] for name, rows in result["rivals_measured"].items()}
    assert measured == {name: [4] if name == "paper-recipe" else [4, 8] for name in rivals}


@pytest.mark.filterwarnings("ignore")
def test_rivals_that_cannot_run_are_named_with_the_reason(folder, monkeypatch):
    def session(self, *_):
        raise RuntimeError(f"no\n{self.pairs}") if self.tuned else torch.OutOfMemoryError

    monkeypatch.setattr(TransformersTrainer, "session", session)
    result = bench_train(replace(SHORT, model=str(folder), repeats=2), print)
    assert set(result["rivals"]) >= {"lift-peft"}
    assert "trainer-tuned" not in result["rivals"]
    assert (
        result["rivals_failed"]["trainer-tuned"]
        == "4 pairs a step: RuntimeError: no 4; 8 pairs a step: RuntimeError: no 8"
    )
    assert "does not fit" in result["rivals_failed"]["paper-recipe"]
    assert result["seconds_to_loss"] is None


@pytest.mark.parametrize(
    ("raised", "expected"), [(RuntimeError, RuntimeError), (torch.OutOfMemoryError, InvalidOption)]
)
def test_our_own_failure_is_no_result(folder, monkeypatch, raised, expected):
    def session(*_):
        raise raised

    monkeypatch.setattr(Ours, "session", session)
    with pytest.raises(expected):
        bench_train(replace(SHORT, model=str(folder)), print)


def test_first_sessions_warm_up_and_are_told_apart(folder):
    said = []
    result = bench_train(replace(SHORT, model=str(folder), rivals=False, repeats=2), said.append)
    assert [line.split(",")[0].split(" lift")[0] for line in said] == ["warm-up", "1/2", "2/2"]
    low, high = result["spread"]
    assert low <= result["tokens_per_second"] <= high
    assert (result["rivals"], result["rivals_failed"], result["rivals_measured"]) == ({}, {}, {})


def test_a_learner_that_computes_garbage_is_seen(folder, monkeypatch):
    plan = replace(SHORT, model=str(folder), rivals=False, epochs=8)
    learned = bench_train(plan, print)
    assert learned["held_out_loss"] < learned["untrained_held_out_loss"]
    weights = FusedAdapter.weights
    monkeypatch.setattr(
        FusedAdapter, "weights", lambda self: {n: w.neg() if "_A" in n else w for n, w in weights(self).items()}
    )
    garbage = bench_train(plan, print)
    assert garbage["held_out_loss"] > garbage["untrained_held_out_loss"]
    monkeypatch.setattr(FusedAdapter, "weights", lambda self: {n: w * math.nan for n, w in weights(self).items()})
    assert bench_train(plan, print)["held_out_loss"] is None


def test_a_loss_is_reached_at_the_end_of_an_epoch_and_counts_where_all_sessions_reach_it(base):
    seen = Seen(contestant=ours_of(base), is_rival=False)
    seen.losses = [[(1.0, 3.0), (2.0, 1.0)], [(2.0, 1.5), (5.0, 1.0)]]
    assert seen.seconds_to(1.5) == 2.0
    assert seen.seconds_to(1.0) == 3.5
    assert seen.seconds_to(0.5) is None
    assert seen.seconds_to(math.nan) is None


def test_one_session_that_computes_no_number_leaves_no_loss(base):
    seen = Seen(contestant=ours_of(base), is_rival=False, cold=1.0, rates=[1.0] * 3)
    seen.losses = [[(1.0, 3.0)], [(1.0, math.nan)], [(1.0, 2.0)]]
    assert seen.figures(math.nan)["held_out_loss"] is None
    seen.losses[1] = [(1.0, 2.5)]
    assert seen.figures(math.nan)["held_out_loss"] == 2.5


def test_pairs_that_are_kept_back_stand_among_the_others(examples):
    training, kept_back = split(examples, 5)
    assert kept_back == examples[:20:4]
    assert [each for each in examples if each not in kept_back] == training


def test_a_fresh_learner_has_a_session_behind_it_but_for_the_first(base, examples, monkeypatch):
    made = []
    learner = _rehearsed(lambda: made.append(FusedLearner(base.model)) or made[-1], base.model, SMALL, examples)
    sessions = []
    monkeypatch.setattr(Ours, "session", lambda self, *_: sessions.append(self.learner()))
    assert learner() is made[0]
    assert sessions == []
    assert learner() is made[1]
    assert sessions == [made[1]]


class Watched(FusedLearner):
    """Counts the adapters and pairs of its steps."""

    def __init__(self, model):
        super().__init__(model)
        self.steps = []

    def step(self, work):
        self.steps.append([len(step.examples) for step in work])
        return super().step(work)


def test_the_same_jobs_are_measured_one_after_the_other_and_side_by_side(base, examples, monkeypatch):
    monkeypatch.setattr("trainer.learners.shared.GRACE_SECONDS", 1.0)  # steps are shared on a busy machine as well
    learner, device = Watched(base.model), base.model.device
    shares = [examples[job::3] for job in range(3)]
    small = replace(SMALL, batch_size=4)
    jobs = Jobs(learner=learner, device=device, hyperparameters=small, shares=shares, epochs=20)
    assert jobs.one_after_the_other() > 0
    assert learner.steps == [[4]] * 2 * 20 * 3
    learner.steps.clear()
    assert jobs.side_by_side() > 0
    assert sum(map(sum, learner.steps)) == 20 * 24
    assert [4, 4, 4] in learner.steps


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 0},
        {"pairs": (0,)},
        {"pairs": ()},
        {"rival_pairs": (0,)},
        {"rival_pairs": (4, 16)},
        {"repeats": 0},
        {"epochs": 0},
        {"jobs": 0},
        {"jobs": 4},
        {"examples": 8},
        {"profile": "none"},
        {"shape": "none"},
    ],
)
def test_a_plan_that_no_run_can_have_is_refused(folder, wrong):
    with pytest.raises(InvalidOption):
        bench_train(replace(SHORT, model=str(folder), **wrong), print)


def test_more_examples_than_there_are_pairs_are_refused(folder):
    with pytest.raises(InvalidOption, match="at most 972"):
        bench_train(replace(SHORT, model=str(folder), examples=973), print)


def test_a_random_model_has_the_shape(monkeypatch):
    small = {**SHAPES["smollm2-135m"], "num_hidden_layers": 1, "vocab_size": 100}
    monkeypatch.setitem(SHAPES, "smollm2-135m", small)
    model = random_model("smollm2-135m", torch.device("cpu"), torch.bfloat16)
    assert (model.config.num_hidden_layers, model.dtype, model.device.type) == (1, torch.bfloat16, "cpu")
    assert FusedLearner.takes(model.config)
    again = random_model("smollm2-135m", torch.device("cpu"), torch.bfloat16)
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, again.model.layers[0].mlp.up_proj.weight)
