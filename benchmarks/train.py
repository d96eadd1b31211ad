"""`lift bench train`: tokens a second of our learner, beside the limit and the loops that others would write."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.contest import Contest, Seen, written
from benchmarks.contestants import Contestant, Ours, TransformersTrainer, TrlTrainer, encoded
from benchmarks.environment import used
from benchmarks.held_out import split
from benchmarks.limits import Shape, step_seconds, training_flops
from benchmarks.machine import bandwidth, describe
from benchmarks.pairs import pairs
from benchmarks.shapes import random_model
from benchmarks.together import Jobs
from lift.errors import InvalidOption
from lift.template import PromptTemplate
from trainer import base_model
from trainer.base_model import BaseModel
from trainer.examples.batches import Encoder, Example
from trainer.learners.fused import FusedLearner
from trainer.learners.peft_learner import PeftLearner
from trainer.learners.spectra import KeptSpectra, spectra
from trainer.profiles import PROFILES, Hyperparameters

REFERENCE, REFERENCE_PAIRS = "paper-recipe", 4
SPECTRUM_PAIRS = 64
HELD_OUT_PAIRS = 64
STACK_PROFILE = "primed"  # what the embedded stack trains with

Kept: TypeAlias = Callable[[], KeptSpectra]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `pairs`, `rival_pairs`: in a step of ours and of tuned rivals, each number in turn.

    `shape`: in place of the base model, of which the tokenizer is used, a random one of that shape. `profile`: of
    training. `examples`: pairs of an epoch. `epochs`: of every session. `jobs`: short ones that share out the examples
    and are measured one after the other and side by side, with the fewest of `pairs`; 1: none.
    """

    model: str
    shape: str = ""
    device: str = "auto"
    profile: str = "embedded"
    rank: int = 128
    pairs: Sequence[int] = (128,)
    rival_pairs: Sequence[int] = (16, 64)
    rivals: bool = True
    repeats: int = 3
    examples: int = 512
    epochs: int = 1
    jobs: int = 1

    def check(self) -> None:
        """InvalidOption: a number that no run can have, an unknown profile."""
        for name in ("rank", "repeats", "epochs", "jobs"):
            if getattr(self, name) < 1:
                raise InvalidOption(option=name, value=getattr(self, name), expected="at least 1")
        for name in ("pairs", "rival_pairs"):
            if min(getattr(self, name), default=0) < 1:
                raise InvalidOption(option=name, expected="numbers of at least 1")
        two_steps = 2 * max([*self.pairs, *(self.rival_pairs if self.rivals else ())])  # the first one is not counted
        if self.examples < two_steps:
            expected = f"at least {two_steps}, the pairs of two steps"
            raise InvalidOption(option="examples", value=self.examples, expected=expected)
        if self.examples < self.jobs * min(self.pairs):
            expected = f"at least {self.jobs * min(self.pairs)}, the pairs of a step of each job"
            raise InvalidOption(option="examples", value=self.examples, expected=expected)
        if self.profile not in PROFILES:
            raise InvalidOption(option="profile", value=self.profile[:80], expected=", ".join(PROFILES))

    def hyperparameters(self, pairs: int) -> Hyperparameters:
        """Those of a learner with so many pairs a step; alpha is the profile's."""
        return replace(PROFILES[self.profile], rank=self.rank, batch_size=pairs)


def bench_train(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Sessions of all contestants in turns. The result that `--json` prints. InvalidOption, BaseModelMissing."""
    plan.check()
    base = _base(plan)
    examples, kept_back = _examples(plan, base)
    kept = _kept(base, examples)
    ours = [Seen(contestant=each, is_rival=False) for each in _ours(plan, base, kept, examples)]
    rivals = [Seen(contestant=each, is_rival=True) for each in _rivals(plan, base, kept)]
    hyperparameters = plan.hyperparameters(plan.pairs[0])
    contest = Contest(
        model=base.model, examples=examples, kept_back=kept_back, hyperparameters=hyperparameters, say=say
    )
    untrained = contest.untrained_loss()
    peak = contest.hold([*ours, *rivals], plan.repeats)
    bytes_per_second = bandwidth(base.model.device)
    best = _best(rivals)
    reference = max(best[REFERENCE].final_losses) if REFERENCE in best else math.nan
    shape = Shape.of(base.model, plan.rank)
    by_pairs = {}
    for seen in ours:
        limit = _limit(shape, examples, seen.contestant.pairs, peak, bytes_per_second)
        by_pairs[seen.contestant.pairs] = {
            "score": round(seen.rate / limit["by_flops"], 3),
            "score_with_memory": round(seen.rate / limit["with_memory"], 3),
            "limit_tokens_per_second": round(limit["by_flops"], 1),
            "limit_with_memory_tokens_per_second": round(limit["with_memory"], 1),
            **seen.figures(reference),
            "rivals": {name: round(seen.rate / rival.rate, 2) for name, rival in best.items()},
        }
    return {
        **by_pairs[plan.pairs[0]],
        "peak_tflops": round(peak / 1e12, 3),
        "bandwidth_gb_per_second": round(bytes_per_second / 1e9, 2),
        "machine": describe(),
        "environment": used(),
        "device": base.model.device.type,
        "dtype": str(base.model.dtype).removeprefix("torch."),
        "rank": plan.rank,
        "examples": plan.examples,
        "epochs": plan.epochs,
        "repeats": plan.repeats,
        "untrained_held_out_loss": written(untrained),
        "by_pairs": {str(size): figures for size, figures in by_pairs.items()},
        "rival_pairs_per_step": {name: rival.contestant.pairs for name, rival in best.items()},
        "rivals_measured": {
            name: [each.figures(reference) for each in rivals if each.contestant.name == name and each.rates]
            for name in best
        },
        "rivals_failed": _failed(plan, rivals),
        **(_together(plan, base, kept, examples, say) if plan.jobs > 1 else {}),
    }


def _base(plan: Plan) -> BaseModel:
    """The base model; with a shape, a random one in its place. BaseModelMissing, InvalidOption."""
    base = base_model.load(plan.model, plan.device, threads=0)
    if not plan.shape:
        return base
    return replace(base, name=plan.shape, model=random_model(plan.shape, base.model.device, base.model.dtype))


def _examples(plan: Plan, base: BaseModel) -> tuple[list[Example], list[Example]]:
    """Those to train on, and those that are kept back. InvalidOption: there are not as many."""
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    encoder = Encoder(base.tokenizer, template, PROFILES[plan.profile].max_pair_tokens)
    found = encoded(pairs(), encoder)
    if len(found) < plan.examples + HELD_OUT_PAIRS:
        expected = f"at most {len(found) - HELD_OUT_PAIRS}, the pairs that fit but for {HELD_OUT_PAIRS} kept back"
        raise InvalidOption(option="examples", value=plan.examples, expected=expected)
    return split(found[: plan.examples + HELD_OUT_PAIRS], HELD_OUT_PAIRS)


def _ours(plan: Plan, base: BaseModel, kept: Kept, examples: Sequence[Example]) -> list[Contestant]:
    """One for each number of pairs a step. They share a learner, but on a GPU, where rivals need what it would keep."""
    fresh = partial(FusedLearner, base.model, kept)
    is_kept = not plan.rivals or base.model.device.type == "cpu"
    shared = cache(fresh)
    contestants: list[Contestant] = []
    for size in dict.fromkeys(plan.pairs):
        chosen = plan.hyperparameters(size)
        learner = shared if is_kept else _rehearsed(fresh, base.model, chosen, examples)
        contestants.append(Ours("lift", learner, chosen, plan.epochs))
    return contestants


def _rehearsed(
    fresh: Callable[[], FusedLearner], model: Any, chosen: Hyperparameters, examples: Sequence[Example]
) -> Callable[[], FusedLearner]:
    """A fresh learner each time, from the second on with a session behind it, as a trainer's later jobs find it."""
    cold = iter([True])

    def learner() -> FusedLearner:
        made = fresh()
        if not next(cold, False):
            Ours("rehearsal", lambda: made, chosen, 1).session(model, examples)
        return made

    return learner


def _rivals(plan: Plan, base: BaseModel, kept: Kept) -> list[Contestant]:
    """The tuned ones with each number of pairs a step, and the paper's recipe."""
    if not plan.rivals:
        return []
    rivals: list[Contestant] = []
    for size in dict.fromkeys(plan.rival_pairs):
        chosen = plan.hyperparameters(size)
        rivals.append(Ours("lift-peft", partial(PeftLearner, base.model, kept), chosen, plan.epochs))
        rivals.append(TransformersTrainer("trainer-tuned", size, chosen, plan.epochs, tuned=True))
        if find_spec("trl"):
            rivals.append(TrlTrainer("trl", size, chosen, plan.epochs, base.tokenizer))
    chosen = plan.hyperparameters(REFERENCE_PAIRS)
    return [*rivals, TransformersTrainer(REFERENCE, REFERENCE_PAIRS, chosen, plan.epochs, tuned=False)]


def _best(rivals: Sequence[Seen]) -> dict[str, Seen]:
    """Of each rival, by name, the number of pairs a step with which it is fastest."""
    best: dict[str, Seen] = {}
    for seen in sorted((each for each in rivals if each.rates), key=lambda each: each.rate):
        best[seen.contestant.name] = seen
    return best


def _failed(plan: Plan, rivals: Sequence[Seen]) -> dict[str, str]:
    """Why a rival has no figures, or not all, by name."""
    failed: dict[str, list[str]] = {}
    for seen in rivals:
        if seen.failure:
            said = f"{seen.contestant.pairs} pairs a step: {seen.failure}"
            failed.setdefault(seen.contestant.name, []).append(said)
    reasons = {name: "; ".join(said) for name, said in failed.items()}
    return {**reasons, "trl": "not installed"} if plan.rivals and not find_spec("trl") else reasons


def _together(
    plan: Plan, base: BaseModel, kept: Kept, examples: Sequence[Example], say: Callable[[str], None]
) -> dict[str, Any]:
    """The short jobs with the run's own rank and fewest pairs a step, and with those of a stack's profile."""
    learner = FusedLearner(base.model, kept)
    shares = [examples[job :: plan.jobs] for job in range(plan.jobs)]
    rows = []
    for chosen in (plan.hyperparameters(min(plan.pairs)), PROFILES[STACK_PROFILE]):
        jobs = Jobs(
            learner=learner, device=base.model.device, hyperparameters=chosen, shares=shares, epochs=plan.epochs
        )
        rows.append(jobs.figures(plan.repeats))
        said = f"{plan.jobs} jobs of {chosen.batch_size} pairs a step, rank {chosen.rank}"
        say(f"{said}: {rows[-1]['ratio']:.2f} times as fast together")
    return {"jobs": plan.jobs, "jobs_together": rows[0]["ratio"], "jobs_measured": rows}


def _kept(base: BaseModel, examples: Sequence[Example]) -> Kept:
    """Spectra on some of the examples, found when they are first asked for."""
    return cache(lambda: KeptSpectra(spectra(base, examples[:SPECTRUM_PAIRS]), Path()))


def _limit(
    shape: Shape, examples: Sequence[Example], size: int, peak: float, bytes_per_second: float
) -> dict[str, float]:
    """Tokens a second that the machine allows: by products alone, and with what must pass through memory."""
    tokens = sum(len(example.tokens) for example in examples)
    answer_tokens = sum(example.answer_tokens for example in examples)
    flops = training_flops(shape, tokens, answer_tokens, tokens / len(examples))
    share = size / len(examples)
    seconds = step_seconds(shape, flops * share, peak, bytes_per_second)
    return {"by_flops": tokens / (flops / peak), "with_memory": tokens * share / seconds}
