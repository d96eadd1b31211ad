"""Turns a profile's name and a job's training options into the hyperparameters of one run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lift.errors import InvalidOption
from lift.limits import RANKS, TRAINING_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """How LoRA weights are trained. Scaling is alpha / rank; `batch_size` counts pairs per optimizer step.

    At one learning rate and alpha Adam's steps change answers as much at every rank. The learning rate rises linearly
    over `warmup_steps`. With `decay` it falls linearly to zero over the epochs after the first, whose length is known
    at its end only. `clip_norm` bounds the gradient's L2 norm. A pair of more than `max_pair_tokens` tokens is left
    out. Every linear layer but the head is adapted, as in the paper. What is published has the smallest rank whose loss
    is at most `shrink_epsilon` nats per answer token above the trained one's; 0: the trained rank. `held_out`: share of
    the pairs that recall is measured on; below `min_recall` a revision does not become current. `retained_share`:
    unrelated questions beside each batch, with the base model's own answers, as a share of its size; `abstained_share`:
    questions that nobody can answer, with the answer that says so, likewise. `distil_share`: how much of what is
    expected of an answer token is what the base model says with the passage before it. `least_steps`: a short document
    is trained on in smaller batches, then more often, until that many steps were made after the first epoch.
    `rest_below`: a pair whose answer tokens all had a smaller loss, in nats, when they were seen last is left out of
    three of four epochs from the fourth on (`rest`), which leaves fewer steps. `second_round`: steps for what is not
    learned by then, as a share of those made before. `whitening`: how much less an adapter moves in the directions that
    the base model's inputs share (`whitening`); 0 is LoRA as it is known. `passes_in_order`: pairs are learned in the
    order in which they come, each batch so many times before the next one, in place of epochs (Temp-LoRA: Wang et al.,
    2024); 0: in epochs. `word_dropout`: from the second epoch on, the chance of a question's token to be left out
    (`word_dropout`). `primer`: an adapter begins at so much of the trainer's primer, where it has one (`primer`); 0: as
    LoRA does. `layerwise_decay`: each layer's learning rate as a share of that of the layer above it, the highest of
    which has `learning_rate` (discriminative fine-tuning: Howard and Ruder, 2018); 1: all have it.
    `enough_questions`: behind the first epoch, what rules ask is left out where so many other questions have the
    answer; 0: nowhere. `scope`: questions that are less likely than this to be about the documents are the base model's
    (`scope`), of short documents where they are less likely than unrelated ones mostly are; 0: all are the adapter's,
    and so they are with `abstained_share`.
    """

    rank: int = 128
    alpha: float = 256.0
    learning_rate: float = 5e-5
    epochs: int = 5
    batch_size: int = 4
    warmup_steps: int = 4
    decay: bool = False
    clip_norm: float = 1.0
    max_pair_tokens: int = 1024
    shrink_epsilon: float = 0.0
    seed: int = 0
    held_out: float = 0.05
    retained_share: float = 0.0
    distil_share: float = 0.0
    abstained_share: float = 0.0
    second_round: float = 0.0
    least_steps: int = 0
    rest_below: float = 0.0
    whitening: float = 0.0
    passes_in_order: int = 0
    word_dropout: float = 0.0
    primer: float = 0.0
    layerwise_decay: float = 1.0
    enough_questions: int = 0
    scope: float = 0.0
    min_recall: float = 0.0

    @property
    def scaling(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / self.rank

    def learning_rate_at(self, step: int, left: float = 1.0) -> float:
        """The rate of step `step`, counted from 0; `left`: what is left of the peak rate."""
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps)) * left

    def left_after(self, share: float) -> float:
        """What is left of the peak rate once that share of the steps over which it may fall is made."""
        return 1 - share if self.decay else 1.0


# LIFT, appendix A: rank 128 everywhere, tables 5 and 6. Batch size and alpha are those of the paper's code.
PROFILES: dict[str, Hyperparameters] = {
    "paper": Hyperparameters(),
    "llama3-squad": Hyperparameters(),
    "llama3-loogle": Hyperparameters(),
    "llama3-niah": Hyperparameters(learning_rate=1e-4, epochs=8),
    "gemma2": Hyperparameters(learning_rate=1e-3),
    "qwen3": Hyperparameters(),
    # For SmolLM2-135M; docs/why.md has the measurements.
    "embedded": Hyperparameters(
        rank=32,
        learning_rate=1e-3,
        epochs=6,
        batch_size=24,
        decay=True,
        max_pair_tokens=512,
        retained_share=0.06,
        whitening=3.0,
        word_dropout=0.2,
        least_steps=40,
        enough_questions=3,
        scope=0.5,
    ),
}
PROFILES["primed"] = replace(  # for a trainer that has a primer
    PROFILES["embedded"], learning_rate=1.6e-3, epochs=4, batch_size=12, layerwise_decay=0.95, primer=1.0
)


def hyperparameters(options: Mapping[str, Any], default_profile: str, max_rank: int) -> Hyperparameters:
    """The profile that the options name (or the default one), with the options that are set in its place.

    `options` are the set fields of lift.v1.TrainingOptions; those about question writing are passed over.
    InvalidOption: an unknown profile, or a value out of range.
    """
    name = options.get("training_profile") or default_profile
    if name not in PROFILES:
        raise InvalidOption(option="training_profile", value=str(name)[:80], expected=", ".join(PROFILES))
    profile = PROFILES[name]
    chosen = {
        option: _within(option, options[option], limits)
        for option, limits in TRAINING_LIMITS.items()
        if option in options
    }
    rank = options.get("rank", min(profile.rank, max_rank))
    if rank not in RANKS or rank > max_rank:
        ranks = ", ".join(str(rank) for rank in RANKS if rank <= max_rank)
        raise InvalidOption(option="rank", value=str(rank)[:80], expected=ranks)
    return replace(profile, rank=int(rank), **chosen)


def _within(option: str, value: Any, limits: tuple[float, float]) -> Any:
    low, high = limits
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidOption(option=option, value=str(value)[:80], expected=f"from {low:g} to {high:g}")
    return value
