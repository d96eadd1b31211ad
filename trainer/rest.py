"""Lets pairs that are learned rest: an epoch over what is not known yet teaches as much, and costs less.

A pair is learned where each token of its answer was likely the last time. A few of those are trained on all the same,
drawn anew for each epoch, since what is never repeated is forgotten.
"""

import math
import random
from collections.abc import Mapping, Sequence

from trainer.batches import Example

AWAKE = 0.25  # of the pairs that are learned
EPOCHS_BEFORE = 3  # in which nobody rests: what was seen once or twice is hardly learned


def awake(
    examples: Sequence[Example], worst: Mapping[Example, float], below: float, shuffler: random.Random
) -> list[Example]:
    """The examples of an epoch. `worst`: the greatest loss of each one's answer tokens; those without one are taken."""
    taken = [example for example in examples if worst.get(example, math.inf) >= below or shuffler.random() < AWAKE]
    return taken or list(examples)  # all are learned: they are few, and none was drawn


def seen(batch: Sequence[Example], learned: Sequence[Example], worst: Mapping[Example, float]) -> dict[Example, float]:
    """The losses of a step by the examples of its batch; `learned`: what was learned in the place of each."""
    return {example: worst[own] for example, own in zip(batch, learned, strict=True) if own in worst}
