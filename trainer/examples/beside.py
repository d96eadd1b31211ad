"""Draws what each batch has beside it: other examples, in a set share."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.examples.batches import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Examples of which each batch has as many beside it as `share` of its size, rounded up; 0 adds none."""

    examples: Sequence[Example]
    share: float


class Beside:
    """A new draw of each portion for each batch."""

    def __init__(self, portions: Sequence[Portion], seed: int) -> None:
        self._portions = portions
        self._sampler = random.Random(seed)  # noqa: S311 - a sample, no secret

    def added_to(self, batch: Sequence[Example]) -> list[Example]:
        """The batch with its portions."""
        added = list(batch)
        for each in self._portions:
            count = min(len(each.examples), math.ceil(each.share * len(batch)))
            added += self._sampler.sample(each.examples, count)
        return added
