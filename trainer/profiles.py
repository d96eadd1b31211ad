"""Turns a profile's name and a job's training options into the hyperparameters of one run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lift.errors import InvalidOption
from lift.limits import RANKS, TRAINING_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """How LoRA weights are trained: on every linear layer but the head, as in the paper."""

    rank: int = 128
    """Of A [rank, d_in] and B [d_out, rank] in training; what is published may have a smaller one."""

    alpha: float = 256.0
    """B A is multiplied by alpha / rank; at one alpha and rate, Adam's steps change answers as much at every rank."""

    learning_rate: float = 5e-5
    """Peak rate of AdamW."""

    epochs: int = 5
    """How often each pair is learned, the first time as it comes."""

    batch_size: int = 4
    """Pairs per optimizer step, without what is beside them."""

    warmup_steps: int = 4
    """Steps over which the rate rises linearly to its peak."""

    decay: bool = False
    """Whether the rate falls linearly to zero over the epochs after the first, whose length only its end shows."""

    clip_norm: float = 1.0
    """Bound of the gradient's L2 norm."""

    max_pair_tokens: int = 1024
    """A pair of more tokens, prompt and stop token included, is left out."""

    shrink_epsilon: float = 0.0
    """Published is the smallest rank whose loss is at most so many nats per answer token higher; 0: the trained one."""

    seed: int = 0
    """Of the weights at first, and of every order and draw: on one machine, it repeats a run on the same pairs."""

    held_out: float = 0.05
    """Share of the pairs that are not learned, and that recall is measured on."""

    retained_share: float = 0.0
    """Unrelated questions beside each batch, with the base model's own answers, as a share of its size."""

    distil_share: float = 0.0
    """How much of what is expected of an answer token is what the base model says with the passage before it."""

    abstained_share: float = 0.0
    """Questions that nobody can answer, beside each batch with the answer that says so, as a share of its size."""

    second_round: float = 0.0
    """Steps for what is not learned after the epochs, as a share of those made before (`second_round`); 0: none."""

    least_steps: int = 0
    """A short document has smaller batches, then more epochs, until so many steps are made after the first epoch."""

    whitening: float = 0.0
    """How much less an adapter moves in the directions that the base model's inputs share (`whitening`); 0: LoRA."""

    passes_in_order: int = 0
    """Pairs are learned in the order in which they come, each batch so many times before the next one, in place of
    epochs (Temp-LoRA: Wang et al., 2024); 0: in epochs."""

    word_dropout: float = 0.0
    """From the second epoch on, the chance of a question's token to be left out (`word_dropout`)."""

    primer: float = 0.0
    """An adapter begins at so much of the trainer's primer, where it has one (`primer`); 0: as LoRA does."""

    layerwise_decay: float = 1.0
    """Each layer's rate as a share of that of the layer above it, the highest of which has `learning_rate`
    (discriminative fine-tuning: Howard and Ruder, 2018); 1: all have it."""

    enough_questions: int = 0
    """Behind the first epoch, what rules ask is left out where so many others have the answer; 0: nowhere."""

    scope: float = 0.0
    """Questions that are less likely than this to be about the documents are the base model's (`scope`), of short
    documents where they are less likely than unrelated ones mostly are; 0: all are the adapter's, and so they are with
    `abstained_share`."""

    min_recall: float = 0.0
    """A revision with less recall, a share of the questions that are measured, does not become current."""

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
