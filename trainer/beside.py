"""Draws what each batch has beside it: other examples, in a set share."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.batches import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Examples of which each batch has as many beside it as `share` of its size, rounded up; 0 adds none."""

    examples: Sequence[Example]
    share: float


class Beside:
    """A new draw of each share for each batch."""

    def __init__(self, shares: Sequence[Share], seed: int) -> None:
        self._shares = shares
        self._sampler = random.Random(seed)  # noqa: S311 - a sample, no secret

    def added_to(self, batch: Sequence[Example]) -> list[Example]:
        """The batch with its shares."""
        added = list(batch)
        for each in self._shares:
            count = min(len(each.examples), -int(-each.share * len(batch) // 1))
            added += self._sampler.sample(each.examples, count)
        return added
