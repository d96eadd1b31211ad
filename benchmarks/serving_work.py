"""What engines are asked in `lift bench serve`, and what follows from when their tokens came: rates, ratios, limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.limits import Shape, decode_seconds, prefill_seconds
from benchmarks.spread import spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is asked at once: `streams` prompts of `prompt_tokens`, each answered in exactly `answer_tokens`."""

    name: str
    streams: int
    prompt_tokens: int
    answer_tokens: int

    def rate(self, streams: Sequence[Sequence[float]]) -> float:
        """Tokens a second: of prompts where one token is written, else of answers, in `decode` but for the first."""
        last = max(moments[-1] for moments in streams)
        if self.answer_tokens == 1:
            return self.streams * self.prompt_tokens / last
        if self.streams == 1:
            return (self.answer_tokens - 1) / (last - streams[0][0])
        return self.streams * self.answer_tokens / last


DECODE = Work(name="decode", streams=1, prompt_tokens=16, answer_tokens=25)
FEW_PROMPTS = Work(name="few prompts", streams=2, prompt_tokens=128, answer_tokens=1)
"""Long prompts that stock vLLM reads with an adapter in less than a minute."""


def works(streams: int) -> tuple[Work, ...]:
    """What is measured, all but few prompts and the decoding of one stream with so many of them."""
    return (
        Work(name="prefill", streams=streams, prompt_tokens=128, answer_tokens=1),
        FEW_PROMPTS,
        Work(name="short prefill", streams=streams, prompt_tokens=24, answer_tokens=1),
        DECODE,
        Work(name="batch", streams=streams, prompt_tokens=16, answer_tokens=17),
    )


def of_streams(streams: int) -> Work:
    """Short questions at once, each answered in a sentence or two."""
    return Work(name=f"{streams} streams", streams=streams, prompt_tokens=16, answer_tokens=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Who answers: adapters held under the numbers from `first` on, in turn; the base model where there are none."""

    name: str
    adapters: int = 0
    first: int = 0
    rank: int = 0

    def numbers(self, streams: int) -> list[int]:
        """The adapter of each stream; 0 is the base model."""
        return [self.first + stream % self.adapters if self.adapters else 0 for stream in range(streams)]


BASE = Voice(name="base")
STOCK = "stock, "
"""Begins the names of stock vLLM's rates."""


def gaps(streams: Sequence[Sequence[float]]) -> list[float]:
    """Seconds between tokens of the same stream."""
    return [after - before for moments in streams for before, after in pairwise(moments)]


def ratios(rates: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, float]]:
    """By work: our voices to our base, and to the same voices of stock vLLM; of medians."""
    found: dict[str, dict[str, float]] = {}
    for work, seen in rates.items():
        middle = {name: spread(of, 9)["median"] for name, of in seen.items()}
        ours = {name: rate for name, rate in middle.items() if not name.startswith(STOCK)}
        theirs = {name.removeprefix(STOCK): rate for name, rate in middle.items() if name.startswith(STOCK)}
        to_base = {f"{name} / base": rate / ours["base"] for name, rate in ours.items() if name != BASE.name}
        to_stock = {f"{name} / stock": ours[name] / rate for name, rate in theirs.items()}
        found[work] = {name: round(value, 3) for name, value in (to_base | to_stock).items()}
    return found


def limits(
    shapes: Mapping[int, Shape],
    asked: Sequence[Work],
    voices: Sequence[Voice],
    rates: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    peak: float,
    bandwidth: float,
) -> dict[str, dict[str, dict[str, float]]]:
    """By work and voice: the tokens a second that the machine allows, and the share of it that was reached.

    `shapes`: of the base model with adapters, by their rank.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for work in asked:
        for voice in voices:
            limit = limit_rate(work, voice, shapes[voice.rank], peak, bandwidth)
            reached = spread(rates[work.name][voice.name], 9)["median"] / limit
            found.setdefault(work.name, {})[voice.name] = {
                "tokens_per_second": round(limit, 1),
                "reached": round(reached, 3),
            }
    return found


def limit_rate(work: Work, voice: Voice, shape: Shape, peak: float, bandwidth: float) -> float:
    """Tokens a second, as `Work.rate` counts them, that `peak` FLOP/s and `bandwidth` bytes/s allow."""
    prefill = prefill_seconds(shape, work.streams, work.prompt_tokens, adapted=voice.adapters > 0, peak=peak)
    if work.answer_tokens == 1:
        return work.streams * work.prompt_tokens / prefill
    steps = work.answer_tokens - 1
    step = decode_seconds(
        shape,
        work.streams,
        work.prompt_tokens + steps / 2,
        adapters=min(voice.adapters, work.streams),
        peak=peak,
        bandwidth=bandwidth,
    )
    if work.streams == 1:
        return 1 / step
    return work.streams * work.answer_tokens / (prefill + steps * step)
