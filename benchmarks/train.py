"""`lift bench train`: tokens a second of our learner, beside the limit and the loops that others would write."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.contestants import (
    Contestant,
    Ours,
    Together,
    TransformersTrainer,
    TrlTrainer,
    encoded,
    tokens_per_second,
)
from benchmarks.limits import Shape, step_seconds, training_flops
from benchmarks.machine import bandwidth, describe, peak_flops
from benchmarks.pairs import pairs
from benchmarks.shapes import random_model
from lift.errors import InvalidOption
from lift.template import PromptTemplate
from trainer import base_model
from trainer.base_model import BaseModel
from trainer.batches import Encoder, Example
from trainer.fused import FusedLearner
from trainer.peft_learner import PeftLearner
from trainer.profiles import PROFILES, Hyperparameters
from trainer.spectra import KeptSpectra, spectra

PAPER_PAIRS = 4
SPECTRUM_PAIRS = 64
TOGETHER = "lift-together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `pairs`, `rival_pairs`: a step of ours and of tuned rivals. `examples`: pairs of an epoch.

    `shape`: in place of the base model, of which the tokenizer is used, a random one of that shape. `profile`: of
    training. `epochs`: of our sessions; others make one. `jobs`: that share steps of so many times `pairs`, beside one.
    """

    model: str
    shape: str = ""
    device: str = "auto"
    profile: str = "embedded"
    rank: int = 128
    pairs: int = 128
    rival_pairs: int = 16
    rivals: bool = True
    repeats: int = 3
    examples: int = 512
    epochs: int = 1
    jobs: int = 1

    def check(self) -> None:
        """InvalidOption: a number that no run can have, an unknown profile."""
        for name in ("rank", "pairs", "rival_pairs", "repeats", "epochs", "jobs"):
            if getattr(self, name) < 1:
                raise InvalidOption(option=name, value=getattr(self, name), expected="at least 1")
        if self.examples < 2 * self.pairs * self.jobs:  # the first step is not counted
            expected = f"at least {2 * self.pairs * self.jobs}, the pairs of two steps"
            raise InvalidOption(option="examples", value=self.examples, expected=expected)
        if self.profile not in PROFILES:
            raise InvalidOption(option="profile", value=self.profile[:80], expected=", ".join(PROFILES))

    def hyperparameters(self) -> Hyperparameters:
        """Those of our learner; alpha is the profile's."""
        return replace(PROFILES[self.profile], rank=self.rank, batch_size=self.pairs)


def bench_train(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Interleaved sessions of all contestants. The result that `--json` prints. InvalidOption, BaseModelMissing."""
    plan.check()
    base = _base(plan)
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    encoder = Encoder(base.tokenizer, template, plan.hyperparameters().max_pair_tokens)
    data = encoded(pairs()[: plan.examples], encoder)
    if len(data) < plan.examples:
        raise InvalidOption(option="examples", value=plan.examples, expected=f"at most {len(data)}, the pairs that fit")
    ours, *others = _contestants(plan, base, data, say)
    device, dtype = base.model.device, base.model.dtype
    widths = base.model.config.hidden_size, base.model.config.intermediate_size
    rates: dict[str, list[float]] = {}
    peaks = []
    for repeat in range(plan.repeats):
        for contestant in (ours, *others):
            peaks.append(peak_flops(*widths, dtype, device))
            try:
                times = contestant.session(base.model, data)
            except torch.OutOfMemoryError:
                say(f"{contestant.name} is left out of this repeat: it does not fit into the memory of the device")
                continue
            rates.setdefault(contestant.name, []).append(tokens_per_second(times))
            done = f"{repeat + 1}/{plan.repeats} {contestant.name}: {rates[contestant.name][-1]:.0f} tokens/s"
            say(f"{done}, first step {times[0].seconds:.2f} s, peak {peaks[-1] / 1e12:.2f} TFLOP/s")
    if ours.name not in rates:
        raise InvalidOption(option="pairs", value=plan.pairs, problem="a step does not fit into the device's memory")
    peak = statistics.median(peaks)
    limit = _limit(Shape.of(base.model, plan.rank), data, plan.pairs, peak, bandwidth(device))
    medians = {name: statistics.median(seen) for name, seen in rates.items()}
    mine, together = medians.pop(ours.name), medians.pop(TOGETHER, None)
    return {
        "score": round(mine / limit["by_flops"], 3),
        "score_with_memory": round(mine / limit["with_memory"], 3),
        "tokens_per_second": round(mine, 1),
        "limit_tokens_per_second": round(limit["by_flops"], 1),
        "peak_tflops": round(peak / 1e12, 3),
        "machine": describe(),
        "device": device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "rank": plan.rank,
        "pairs_per_step": plan.pairs,
        "rival_pairs_per_step": plan.rival_pairs,
        "jobs": plan.jobs,
        "jobs_together": None if together is None else round(together / mine, 2),
        "repeats": plan.repeats,
        "spread": {name: [round(min(seen), 1), round(max(seen), 1)] for name, seen in rates.items()},
        "rivals": {name: round(mine / rate, 2) for name, rate in medians.items()},
    }


def _base(plan: Plan) -> BaseModel:
    """The base model; with a shape, a random one in its place. BaseModelMissing, InvalidOption."""
    base = base_model.load(plan.model, plan.device, threads=0)
    if not plan.shape:
        return base
    return replace(base, name=plan.shape, model=random_model(plan.shape, base.model.device, base.model.dtype))


def _contestants(plan: Plan, base: BaseModel, data: Sequence[Example], say: Callable[[str], None]) -> list[Contestant]:
    """Ours first."""
    hyperparameters = plan.hyperparameters()
    kept = _kept(base, data) if hyperparameters.whitening else None
    learner: Callable[[], FusedLearner] = partial(FusedLearner, base.model, kept)
    if not plan.rivals:  # who need the memory that a learner keeps for later jobs
        learner = cache(learner)
    contestants: list[Contestant] = [Ours("lift", learner, hyperparameters, plan.epochs)]
    if plan.jobs > 1:
        contestants.append(Together(TOGETHER, plan.jobs, learner, hyperparameters))
    if not plan.rivals:
        return contestants
    contestants += [
        Ours(
            "lift-peft", partial(PeftLearner, base.model, kept), replace(hyperparameters, batch_size=plan.rival_pairs)
        ),
        TransformersTrainer("trainer-tuned", plan.rival_pairs, hyperparameters, tuned=True),
        TransformersTrainer("paper-recipe", PAPER_PAIRS, hyperparameters, tuned=False),
    ]
    if find_spec("trl"):
        contestants.append(TrlTrainer("trl", plan.rival_pairs, hyperparameters, base.tokenizer))
    else:
        say("trl is not installed, so TRL is left out")
    return contestants


def _kept(base: BaseModel, data: Sequence[Example]) -> Callable[[], KeptSpectra]:
    found = KeptSpectra(spectra(base, data[:SPECTRUM_PAIRS]), Path())  # no other process looks for them in a file
    return lambda: found


def _limit(shape: Shape, data: Sequence[Example], pairs: int, peak: float, bytes_per_second: float) -> dict[str, float]:
    """Tokens a second that the machine allows: by products alone, and with what must pass through memory."""
    tokens = sum(len(example.tokens) for example in data)
    answer_tokens = sum(example.answer_tokens for example in data)
    flops = training_flops(shape, tokens, answer_tokens, tokens / len(data))
    share = pairs / len(data)
    seconds = step_seconds(shape, flops * share, peak, bytes_per_second)
    return {"by_flops": tokens / (flops / peak), "with_memory": tokens * share / seconds}
