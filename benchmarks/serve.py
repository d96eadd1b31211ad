"""`lift bench serve`: tokens a second of one engine with no, one and many adapters, beside stock vLLM and the limit."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.engines import AS_PUBLISHED, Asked, EngineProcess, Rival, running
from benchmarks.limits import Shape
from benchmarks.machine import bandwidth, describe, peak_flops
from benchmarks.random_adapters import copies, skeleton, write_random_adapter
from benchmarks.serving_work import BASE, STOCK, Voice, Work, gaps, limits, of_streams, ratios, works
from benchmarks.spread import percentile, spread
from lift.errors import InvalidOption
from lift.limits import RANKS
from lift.processor import dtype_for
from lift.settings import EngineSettings
from lift.stack.programs import of_engine
from lift.stack.store import running_store
from storage.base_model import folder_of

LEAST_STREAMS = 8
NEIGHBOURS = 4
NEIGHBOUR_TOKENS = 64
MAX_ADAPTERS = 64
SETTLE_SECONDS = 1.5
"""vLLM's processes look for work all the time until they have had none for a second."""
WAITS = ("fetch", "validate", "load", "cold", "warm")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure. `adapters`: how many distinct ones answer in a batch, each number in turn.

    `streams`: questions at once of our engine, of an adapter each. `rivals`: also stock vLLM. `threads`: of each
    engine, 0 leaves each its own choice. `say` is told each figure as it comes.
    """

    base_model: str
    rank: int
    shrunk_rank: int
    adapters: Sequence[int]
    repeats: int
    rivals: bool
    streams: Sequence[int] = ()
    threads: int = 0
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        """InvalidOption: a number that no run can have."""
        for name, value in (("rank", self.rank), ("shrunk-rank", self.shrunk_rank)):
            if value not in RANKS:
                raise InvalidOption(option=name, value=value, expected=" ".join(map(str, RANKS)))
        if self.shrunk_rank > self.rank:
            raise InvalidOption(option="shrunk-rank", value=self.shrunk_rank, expected=f"at most {self.rank}, the rank")
        if not self.adapters or any(not 1 <= count <= MAX_ADAPTERS for count in self.adapters):
            raise InvalidOption(option="adapters", expected=f"numbers from 1 to {MAX_ADAPTERS}")
        if any(not 1 <= count <= MAX_ADAPTERS for count in self.streams):
            raise InvalidOption(option="streams", expected=f"numbers from 1 to {MAX_ADAPTERS}")
        if self.threads < 0:
            raise InvalidOption(option="threads", value=self.threads, expected="at least 0")
        if self.repeats < 1:
            raise InvalidOption(option="repeats", value=self.repeats, expected="at least 1")

    @property
    def most(self) -> int:
        """How many adapters of each rank are held."""
        return max(*self.adapters, *self.streams)

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The base, and each number of adapters at full rank, then shrunk."""
        return self._voices(self.adapters)

    def of_streams(self, count: int) -> tuple[Voice, ...]:
        """Who answers so many questions at once: the base, and an adapter each at full rank, then shrunk."""
        return self._voices([count])

    def _voices(self, counts: Sequence[int]) -> tuple[Voice, ...]:
        return (
            BASE,
            *(
                Voice(name=f"{count} of rank {rank}", adapters=count, first=first, rank=rank)
                for rank, first in ((self.rank, 1), (self.shrunk_rank, 1 + self.most))
                for count in counts
            ),
        )

    @property
    def unshrunk(self) -> tuple[Voice, ...]:
        """The base, and each number of adapters at full rank."""
        return self.voices[: 1 + len(self.adapters)]

    def of_stock(self, repeat: int) -> tuple[tuple[Work, Voice], ...]:
        """What stock vLLM is asked: all but the long prompts, of which it reads a few in the first repeat alone.

        With an adapter it reads a dozen tokens a second, so it takes 20 s for those few, by the least adapters alone.
        """
        _, few, *others = self.works
        fewest = min(self.unshrunk[1:], key=lambda voice: voice.adapters)
        once = [(few, voice) for voice in (BASE, fewest)] if repeat == 1 else []
        return (*once, *((work, voice) for work in others for voice in self.unshrunk))

    @property
    def works(self) -> tuple[Work, ...]:
        """What is measured, with as many streams as there are adapters, and not fewer than LEAST_STREAMS."""
        return works(max(LEAST_STREAMS, *self.adapters))

    @cached_property
    def folder(self) -> Path:
        """Of the base model. BaseModelMissing."""
        return folder_of(self.base_model)

    @cached_property
    def device(self) -> Any:
        """Where the engines compute."""
        import torch

        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def dtype(self) -> Any:
        """What they compute in."""
        import torch

        return getattr(torch, dtype_for("auto", on_cpu=self.device.type == "cpu"))

    @cached_property
    def skeleton(self) -> Any:
        """The base model without weights: its layers' names and sizes."""
        return skeleton(self.folder, self.dtype)


def bench_serve(plan: Plan) -> dict[str, Any]:
    """Interleaved repeats of all work by all voices: the result that `--json` prints.

    BaseModelMissing; EngineUnavailable: our engine ended.
    """
    with _engines(plan) as (ours, stock, sample):
        figures = _Figures(plan)
        for repeat in range(1, plan.repeats + 1):
            figures.of_machine()
            for work in plan.works:
                for voice in plan.voices:
                    figures.of_rate(ours, work, voice, voice.name)
            if stock is not None:
                with stock.noting():
                    for work, voice in plan.of_stock(repeat):
                        figures.of_rate(stock, work, voice, STOCK + voice.name)
            for count in plan.streams:
                for voice in plan.of_streams(count):
                    figures.of_streams(ours, count, voice)
            figures.of_waits(ours, str(sample))
        return {**figures.result(), "rivals_failed": {} if stock is None else stock.failed}


@contextmanager
def _engines(plan: Plan) -> Iterator[tuple[EngineProcess, Rival | None, Path]]:
    """Our engine and stock vLLM with the same adapters, and the folder of one more adapter."""
    with ExitStack() as stack:
        files = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lift-bench-")))
        objects = stack.enter_context(running_store())
        full = write_random_adapter(files / "full", plan.skeleton, plan.rank)
        shrunk = write_random_adapter(files / "shrunk", plan.skeleton, plan.shrunk_rank)
        held = [*copies(full, plan.most), *copies(shrunk, plan.most)]
        settings = EngineSettings(
            slots=2 * len(held),
            batch_slots=plan.most,
            max_model_len=1024,
            cpu_kv_cache_gib=0.25,
            threads=plan.threads,
        )

        def start(name: str, variables: Mapping[str, str], adapters: Sequence[Path]) -> EngineProcess:
            plan.say(f"starting {name}")
            engine = stack.enter_context(
                running(plan.folder, settings, objects, max_lora_rank=plan.rank, variables=variables)
            )
            engine.ask("hold", folders=[str(adapter) for adapter in adapters], first=1)
            return engine

        ours = start("our engine", {}, held)
        name = "stock vLLM"
        stock = Rival(name, lambda: start(name, AS_PUBLISHED, held[: max(plan.adapters)])) if plan.rivals else None
        yield ours, stock, full


class _Figures:
    """Takes measurements, and sums them up."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rates: dict[str, dict[str, list[float]]] = {work.name: {} for work in plan.works}
        self._peaks: list[float] = []
        self._bandwidths: list[float] = []
        self._waits: list[dict[str, Any]] = []
        self._streams: dict[int, dict[str, list[tuple[float, float]]]] = {count: {} for count in plan.streams}

    def of_machine(self) -> None:
        """What the machine can do at the moment; begins a repeat."""
        time.sleep(SETTLE_SECONDS)
        config, device = self._plan.skeleton.config, self._plan.device
        self._peaks.append(peak_flops(config.hidden_size, config.intermediate_size, self._plan.dtype, device))
        self._bandwidths.append(bandwidth(device))
        self._say(f"{self._peaks[-1] / 1e12:.2f} TFLOP/s, {self._bandwidths[-1] / 1e9:.1f} GB/s")

    def of_rate(self, engine: Asked, work: Work, voice: Voice, name: str) -> None:
        """Tokens a second."""
        rate = work.rate(self._answers(engine, work, voice))
        self._rates[work.name].setdefault(name, []).append(rate)
        self._say(f"{work.name}, {name}: {rate:.1f} tokens/s")

    def of_streams(self, engine: Asked, count: int, voice: Voice) -> None:
        """Tokens a second of so many questions at once, and the median of the seconds to their first tokens."""
        work = of_streams(count)
        streams = self._answers(engine, work, voice)
        rate, first = work.rate(streams), statistics.median(moments[0] for moments in streams)
        self._streams[count].setdefault(voice.name, []).append((rate, first))
        self._say(f"{work.name}, {voice.name}: {rate:.1f} tokens/s, first token after {first:.2f} s")

    def _answers(self, engine: Asked, work: Work, voice: Voice) -> list[list[float]]:
        """When each token came, in a second run: the first brings the adapters into their slots."""
        asked = {"voices": voice.numbers(work.streams), "seed": 1 + len(self._peaks)}
        engine.ask("answer", prompt_tokens=8, answer_tokens=2, **asked)
        told = engine.ask("answer", prompt_tokens=work.prompt_tokens, answer_tokens=work.answer_tokens, **asked)
        streams: list[list[float]] = told["streams"]
        return streams

    def of_waits(self, engine: EngineProcess, folder: str) -> None:
        """From an adapter in the store to its first token; and between tokens of those who answer beside loads."""
        found = engine.ask("cold", folder=folder)
        voices = max(self._plan.unshrunk, key=lambda voice: voice.adapters).numbers(NEIGHBOURS)
        for name, loading in (("quiet", False), ("loading", True)):
            asked = {"folder": folder, "voices": voices, "answer_tokens": NEIGHBOUR_TOKENS}
            told = engine.ask("neighbours", loading=loading, **asked)
            found[name] = gaps(told["streams"])
            found["loads"] = told["loads"]
        self._waits.append(found)
        self._say(f"first token after {found['cold']:.2f} s cold, {found['warm']:.3f} s warm")

    def result(self) -> dict[str, Any]:
        """Everything, with ratios and limits."""
        plan = self._plan
        peak, speed = spread(self._peaks, 0)["median"], spread(self._bandwidths, 0)["median"]
        shapes = {rank: Shape.of(plan.skeleton, rank) for rank in (0, plan.rank, plan.shrunk_rank)}
        return {
            "machine": {**describe(), "peak_tflops": round(peak / 1e12, 3), "gb_per_second": round(speed / 1e9, 1)},
            "environment": of_engine(),
            "threads": plan.threads,
            "rank": plan.rank,
            "shrunk_rank": plan.shrunk_rank,
            "streams": plan.works[0].streams,
            "repeats": plan.repeats,
            "tokens_per_second": {
                work: {name: spread(seen) for name, seen in of.items()} for work, of in self._rates.items()
            },
            "ratios": ratios(self._rates),
            "limits": limits(shapes, plan.works, plan.voices, self._rates, peak=peak, bandwidth=speed),
            "first_token_seconds": {name: spread([each[name] for each in self._waits], 3) for name in WAITS},
            "neighbours": self._neighbours(),
            "by_streams": {str(count): _of_streams(by_voice) for count, by_voice in self._streams.items()},
        }

    def _neighbours(self) -> dict[str, float]:
        """The 99th percentile of the seconds between tokens, and how many adapters were loaded meanwhile."""
        quiet, loading = (
            percentile([gap for each in self._waits for gap in each[name]], 99) for name in ("quiet", "loading")
        )
        return {
            "quiet_p99_seconds": round(quiet, 4),
            "loading_p99_seconds": round(loading, 4),
            "loading_to_quiet": round(loading / quiet, 2),
            "loads": sum(each["loads"] for each in self._waits),
        }

    def _say(self, line: str) -> None:
        self._plan.say(f"{len(self._peaks)}/{self._plan.repeats} {line}")


def _of_streams(by_voice: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    return {
        name: {
            "tokens_per_second": spread([rate for rate, _ in seen]),
            "first_token_seconds": spread([first for _, first in seen], 3),
        }
        for name, seen in by_voice.items()
    }
