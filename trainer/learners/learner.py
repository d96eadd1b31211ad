"""What trains adapters. `PeftLearner` takes every model; `FusedLearner` is fast."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from trainer.examples.batches import Example
from trainer.learners.primer import Primer
from trainer.profiles import Hyperparameters


class Adapter(Protocol):
    """One adapter in training."""

    def step(self, examples: Sequence[Example], left: float = 1.0) -> float:
        """One optimizer step; mean loss per answer token before it (LIFT eq. 1), in nats.

        `left`: see Hyperparameters.learning_rate_at.
        """

    def loss(self, examples: Sequence[Example]) -> float:
        """Mean loss per answer token in nats with the present weights, in passes that fit into memory; no gradient."""

    def loss_with(self, weights: Mapping[str, Tensor], examples: Sequence[Example]) -> float:
        """The same with these weights, named and shaped as its own, which it keeps."""

    def weights(self) -> dict[str, Tensor]:
        """The weights under PEFT's names, bf16 on the CPU: A [rank, d_in] and B [d_out, rank] of each linear layer."""


class Learner(Protocol):
    """Keeps a frozen base model between adapters."""

    def adapter(
        self, hyperparameters: Hyperparameters, primer: Primer | None = None
    ) -> AbstractContextManager[Adapter]:
        """LoRA weights for the length of the block: A random by the seed, B zero, or begun at a primer.

        The base is never changed.
        """

    def unadapted(self) -> AbstractContextManager[object]:
        """Inside the block the base model computes what is its own; not to be asked for in a block of `adapter`."""
