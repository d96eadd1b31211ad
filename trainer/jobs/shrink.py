"""Gives trained LoRA weights the smallest rank at which they know as much (`decomposition`)."""

import math
import random
import time
from bisect import bisect_left
from collections.abc import Sequence

import structlog
from torch import Tensor

from lift.limits import RANKS
from trainer.examples.batches import Example
from trainer.learners.decomposition import at_rank, decomposed
from trainer.learners.learner import Adapter
from trainer.profiles import Hyperparameters

SAMPLE_PAIRS = 64  # pairs whose loss decides: a forward pass over them takes about as long as a training step of 20

log = structlog.get_logger()


def shrink(adapter: Adapter, examples: Sequence[Example], hyperparameters: Hyperparameters) -> dict[str, Tensor]:
    """The weights at the smallest of RANKS that keeps the loss within `shrink_epsilon`; else as they are trained.

    The loss is that of a sample of `examples`, which the adapter was trained on. It is taken not to rise with the rank,
    so the ranks are searched by bisection.
    """
    weights, trained = adapter.weights(), hyperparameters.rank
    ranks = [rank for rank in RANKS if rank < trained]
    if not hyperparameters.shrink_epsilon or not ranks:
        return weights
    began_at = time.monotonic()
    sampler = random.Random(hyperparameters.seed)  # noqa: S311 - a sample, no secret
    sample = sampler.sample(examples, min(SAMPLE_PAIRS, len(examples)))
    losses = {trained: adapter.loss_with(weights, sample)}
    if not math.isfinite(losses[trained]):
        return weights  # there is no rank at which these are a revision
    components = decomposed(weights)

    def suffices(rank: int) -> bool:
        losses[rank] = adapter.loss_with(at_rank(components, rank, padded_to=trained), sample)
        return losses[rank] - losses[trained] <= hyperparameters.shrink_epsilon

    rank = [*ranks, trained][bisect_left(ranks, True, key=suffices)]
    log.info(
        "rank_chosen",
        trained_rank=trained,
        rank=rank,
        loss={tried: round(loss, 4) for tried, loss in sorted(losses.items())},
        seconds=round(time.monotonic() - began_at, 3),
    )
    return weights if rank == trained else at_rank(components, rank)
