"""What adapters know of pairs that nobody trained on: one ruler for all, PEFT's computation and no learner's own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.contestants import Weights
from trainer.examples.batches import Example
from trainer.learners.peft_learner import PeftLearner
from trainer.profiles import Hyperparameters

AT_ONCE = 16  # pairs of a forward pass


def split(examples: Sequence[Example], held_out: int) -> tuple[list[Example], list[Example]]:
    """The examples to train on, and so many others that stand at even distances among all."""
    every = len(examples) // held_out
    kept = range(0, every * held_out, every)
    return [example for at, example in enumerate(examples) if at not in kept], [examples[at] for at in kept]


def losses(
    model: Any, hyperparameters: Hyperparameters, adapters: Sequence[Weights | None], examples: Sequence[Example]
) -> list[float]:
    """Of each adapter: the mean loss per answer token over the examples, in nats; None is the base model alone."""
    plain = replace(hyperparameters, whitening=0.0, batch_size=AT_ONCE)
    with PeftLearner(model).adapter(plain) as ruler:
        return [ruler.loss_with(ruler.weights() if each is None else each, examples) for each in adapters]
