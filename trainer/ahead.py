"""Lets pairs be learned again before all are written, so that a trainer need not wait for its generator.

A pair is learned once in each epoch. What comes first can be learned for the second time while the last is still being
written; it then has no place in the second epoch. So every pair is learned as often as without this, at the learning
rate of the same epoch, and where pairs come slowly only the last epoch is left when they have all come.
"""

import random
from collections import Counter
from collections.abc import Sequence

from trainer.batches import Example, draw


class Ahead:
    """How many of the epochs after the first each example has behind it."""

    def __init__(self, later_epochs: int, batch_size: int, seed: int) -> None:
        """`later_epochs`: those after the first, the last of which is learned by all examples together."""
        self._most = later_epochs - 1
        self._batch_size = batch_size
        self._shuffler = random.Random(seed)  # noqa: S311 - the order of training is no secret
        self._behind: Counter[Example] = Counter()

    def batch(self, learned: Sequence[Example]) -> tuple[int, list[Example]] | None:
        """A batch of those that are the least ahead, and which later epoch it belongs to, from 0.

        `learned`: whom the first epoch has had. None where they are no batch, or all are as far as they may be.
        """
        for epoch in range(self._most):
            behind = [example for example in learned if self._behind[example] <= epoch]
            if len(behind) >= self._batch_size:
                batch = draw(behind, self._batch_size, self._shuffler)
                self._behind.update(batch)
                return epoch, batch
        return None

    def due(self, examples: Sequence[Example], epoch: int) -> list[Example]:
        """Whom later epoch `epoch`, from 0, has not had yet."""
        return [example for example in examples if self._behind[example] <= epoch]
