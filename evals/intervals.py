"""Turns scores of single questions into a mean with its 95 % confidence interval."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.959964  # of the normal distribution, two-sided 95 %
RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean between 0 and 1 and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def proportion(scores: Sequence[float]) -> Estimate:
    """Wilson's score interval (1927) for scores that are 0 or 1; it stays inside [0, 1] and holds for few questions."""
    n = len(scores)
    if not n:
        return Estimate(mean=0.0, low=0.0, high=1.0)
    p = sum(scores) / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Estimate(mean=p, low=min(p, max(0.0, middle - half)), high=max(p, min(1.0, middle + half)))


def bootstrap(scores: Sequence[float]) -> Estimate:
    """Percentile bootstrap of the mean (Efron, 1979) over questions, seeded, so that a rerun prints the same."""
    n = len(scores)
    if not n:
        return Estimate(mean=0.0, low=0.0, high=1.0)
    chance = random.Random(SEED)  # noqa: S311 - no secret
    means = sorted(sum(chance.choices(scores, k=n)) / n for _ in range(RESAMPLES))
    return Estimate(mean=sum(scores) / n, low=means[int(0.025 * RESAMPLES)], high=means[int(0.975 * RESAMPLES) - 1])
