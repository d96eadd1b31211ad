"""Steps an adapter, and says how that goes."""

import math
import time
from collections.abc import Sequence

from lift.errors import InvalidOption
from trainer import metrics
from trainer.examples.batches import Example
from trainer.jobs.hold import Watch
from trainer.learners.learner import Adapter
from trainer.learners.memory import give_back

STEPS_BETWEEN_TRIMS = 50


class Meter:
    """Steps the adapter and reports how that goes."""

    def __init__(self, adapter: Adapter, watch: Watch) -> None:
        self._adapter = adapter
        self._watch = watch
        self._began_at = 0.0
        self._seconds = 0.0
        self._stepping_seconds = 0.0
        self._tokens = 0
        self.steps = 0
        self._epochs: list[tuple[float, int]] = []  # sum of the loss over answer tokens, and how many there were
        self.new_epoch()

    def new_epoch(self) -> None:
        """Starts the mean loss anew."""
        self._epochs.append((0.0, 0))

    def step(self, batch: Sequence[Example], left: float = 1.0) -> None:
        """One optimizer step. InvalidOption: the loss is no longer a number."""
        step_began_at = time.monotonic()
        self._began_at = self._began_at or step_began_at
        metrics.STARVED_SECONDS.inc(max(0.0, step_began_at - (self._began_at + self._seconds)))
        loss = self._adapter.step(batch, left)
        if not math.isfinite(loss):
            raise InvalidOption(option="learning_rate", problem="training diverged", step=self.steps)
        self.steps += 1
        answer_tokens = sum(example.answer_tokens for example in batch)
        tokens = sum(len(example.tokens) for example in batch)
        self._tokens += tokens
        metrics.TOKENS.inc(tokens)
        loss_sum, seen = self._epochs[-1]
        self._epochs[-1] = (loss_sum + loss * answer_tokens, seen + answer_tokens)
        if self.steps % STEPS_BETWEEN_TRIMS == 0:
            give_back()
        ended_at = time.monotonic()
        self._seconds = ended_at - self._began_at
        self._stepping_seconds += ended_at - step_began_at
        metrics.STEP_SECONDS.observe(ended_at - step_began_at)
        self._watch.report(step=self.steps, loss=loss)
        self._watch.took(train=self._seconds, starved=self._seconds - self._stepping_seconds)

    def losses(self) -> tuple[float, ...]:
        """Mean loss per answer token of each epoch, in nats."""
        return tuple(loss_sum / answer_tokens for loss_sum, answer_tokens in self._epochs)

    def figures(self) -> dict[str, float]:
        """Seconds from the first step to the last, and useful tokens a second, waits for the generator included."""
        return {"seconds": round(self._seconds, 3), "tokens_per_second": round(self._tokens / self._seconds, 1)}
