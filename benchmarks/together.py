"""Short jobs of one trainer: one after the other, and side by side in joint steps."""

import random
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.machine import now
from benchmarks.spread import spread
from trainer.examples.batches import Example, epoch
from trainer.learners.fused import FusedLearner
from trainer.learners.shared import SharedLearner
from trainer.profiles import Hyperparameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """`shares`: what each job trains on, in epochs."""

    learner: FusedLearner
    device: torch.device
    hyperparameters: Hyperparameters
    shares: Sequence[Sequence[Example]]
    epochs: int

    def figures(self, repeats: int) -> dict[str, Any]:
        """As JSON has them: so many of each way in turns, behind one that warms up. `ratio`: of medians."""
        self.side_by_side()
        apart, together = [], []
        for _ in range(repeats):
            apart.append(self.one_after_the_other())
            together.append(self.side_by_side())
        return {
            "rank": self.hyperparameters.rank,
            "pairs_per_step": self.hyperparameters.batch_size,
            "one_after_the_other_seconds": spread(apart),
            "side_by_side_seconds": spread(together),
            "ratio": round(statistics.median(apart) / statistics.median(together), 2),
        }

    def one_after_the_other(self) -> float:
        """Seconds from the set-up of the first adapter to the end of the last."""
        return self._seconds(1)

    def side_by_side(self) -> float:
        """Seconds from the set-up of the first adapter to the end of the last, where each job has a thread."""
        return self._seconds(len(self.shares))

    def _seconds(self, at_once: int) -> float:
        shared = SharedLearner(self.learner)  # and a thread that computes, which ends with it
        began_at = now(self.device)
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(partial(self._train, shared), self.shares))
        return now(self.device) - began_at

    def _train(self, shared: SharedLearner, share: Sequence[Example]) -> None:
        shuffler = random.Random(0)  # noqa: S311
        with shared.adapter(self.hyperparameters) as adapter:
            for _ in range(self.epochs):
                for batch in epoch(share, self.hyperparameters.batch_size, shuffler):
                    adapter.step(batch)
            adapter.weights()
