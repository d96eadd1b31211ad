"""Sessions of all contestants in turns, and what came of each."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
import torch

from benchmarks import held_out
from benchmarks.contestants import Contestant
from benchmarks.machine import peak_flops
from lift.errors import InvalidOption
from trainer.examples.batches import Example
from trainer.profiles import Hyperparameters

REASON_CHARACTERS = 300

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Seen:
    """What came of a contestant's sessions.

    `cold`: tokens a second of the first session, which only warms up, all of its steps counted. `rates`: of the others.
    `losses`: of each of these, after each epoch, the seconds of all steps and the loss on held-out pairs. `failure`:
    why there are no more sessions.
    """

    contestant: Contestant
    is_rival: bool
    cold: float = math.nan
    rates: list[float] = field(default_factory=list)
    losses: list[list[tuple[float, float]]] = field(default_factory=list)
    failure: str = ""

    @property
    def rate(self) -> float:
        """Median, tokens a second."""
        return statistics.median(self.rates)

    @property
    def final_losses(self) -> list[float]:
        """Of each session, behind its last epoch."""
        return [of_session[-1][1] for of_session in self.losses]

    @property
    def final_loss(self) -> float:
        """Their median; NaN: one of them is no number."""
        found = self.final_losses
        return statistics.median(found) if all(map(math.isfinite, found)) else math.nan

    def seconds_to(self, loss: float) -> float | None:
        """Median seconds to the end of the first epoch that left at most this loss; None: some session never did."""
        reached = [next((at for at, found in of_session if found <= loss), math.inf) for of_session in self.losses]
        return round(statistics.median(reached), 2) if max(reached) < math.inf else None

    def figures(self, reference: float) -> dict[str, Any]:
        """As JSON has them. `reference`: the loss to which seconds are counted; NaN: there is none."""
        return {
            "pairs_per_step": self.contestant.pairs,
            "tokens_per_second": round(self.rate, 1),
            "spread": [round(min(self.rates), 1), round(max(self.rates), 1)],
            "cold_tokens_per_second": round(self.cold, 1),
            "held_out_loss": written(self.final_loss),
            "seconds_to_loss": self.seconds_to(reference),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What all train on, and are judged by. `hyperparameters`: the rank and scaling of all."""

    model: Any
    examples: Sequence[Example]
    kept_back: Sequence[Example]
    hyperparameters: Hyperparameters
    say: Callable[[str], None]

    def hold(self, contestants: Sequence[Seen], repeats: int) -> float:
        """A first session of each, which warms up, then so many that are measured; peak FLOP/s, measured beside them.

        What one of ours raises passes through; a rival that raises has no more sessions. InvalidOption: a step of ours
        does not fit into the device's memory.
        """
        config, peaks = self.model.config, []
        for repeat in range(repeats + 1):
            for seen in (each for each in contestants if not each.failure):
                if repeat:
                    peaks.append(
                        peak_flops(config.hidden_size, config.intermediate_size, self.model.dtype, self.model.device)
                    )
                try:
                    self._meet(seen, repeat, repeats)
                except Exception as error:
                    if not seen.is_rival:
                        raise
                    seen.failure = _reason(error)
                    name, pairs = seen.contestant.name, seen.contestant.pairs
                    log.warning("rival_failed", rival=name, pairs_per_step=pairs, exc_info=True)
        return statistics.median(peaks)

    def untrained_loss(self) -> float:
        """The base model's on the pairs that are kept back."""
        return held_out.losses(self.model, self.hyperparameters, [None], self.kept_back)[0]

    def _meet(self, seen: Seen, repeat: int, repeats: int) -> None:
        contestant = seen.contestant
        try:
            session = contestant.session(self.model, self.examples)
        except torch.OutOfMemoryError as error:
            problem = "a step does not fit into the device's memory"
            raise InvalidOption(option="pairs", value=contestant.pairs, problem=problem) from error
        named = f"{contestant.name}, {contestant.pairs} pairs a step"
        if not repeat:
            seen.cold = session.whole_tokens_per_second
            self.say(f"warm-up, {named}: {seen.cold:.0f} tokens/s, first step {session.steps[0].seconds:.2f} s")
            return
        adapters = [end.weights for end in session.epochs]
        losses = held_out.losses(self.model, self.hyperparameters, adapters, self.kept_back)
        seen.losses.append(list(zip([end.seconds for end in session.epochs], losses, strict=True)))
        seen.rates.append(session.tokens_per_second)
        self.say(f"{repeat}/{repeats} {named}: {seen.rates[-1]:.0f} tokens/s, held-out loss {losses[-1]:.3f}")


def written(loss: float) -> float | None:
    """As JSON may have it; None: it is no number, so the adapter computes none."""
    return round(loss, 4) if math.isfinite(loss) else None


def _reason(error: Exception) -> str:
    """One short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:REASON_CHARACTERS]
