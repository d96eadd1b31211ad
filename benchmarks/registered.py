"""`lift bench registered`: what one engine's adapters cost while they become more: memory, loading, a stream."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engines import Asked, running
from benchmarks.machine import describe
from benchmarks.random_adapters import copies, skeleton, write_random_adapter
from benchmarks.serving_work import DECODE
from benchmarks.spread import spread
from lift.errors import InvalidOption
from lift.limits import RANKS
from lift.settings import EngineSettings
from lift.stack.programs import of_engine
from lift.stack.store import running_store
from storage.base_model import folder_of

MAX_ADAPTERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `adapters`: how many are loaded, one number after the other.

    `repeats`: of each stream. `threads`: 0 is the engine's choice. `say` is told each figure as it comes.
    """

    base_model: str
    rank: int
    adapters: Sequence[int]
    repeats: int
    threads: int = 0
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        """InvalidOption: a number that no run can have."""
        if self.rank not in RANKS:
            raise InvalidOption(option="rank", value=self.rank, expected=" ".join(map(str, RANKS)))
        if not self.adapters or any(not 1 <= count <= MAX_ADAPTERS for count in self.adapters):
            raise InvalidOption(option="adapters", expected=f"numbers from 1 to {MAX_ADAPTERS}")
        if self.threads < 0:
            raise InvalidOption(option="threads", value=self.threads, expected="at least 0")
        if self.repeats < 1:
            raise InvalidOption(option="repeats", value=self.repeats, expected="at least 1")


def bench_registered(plan: Plan) -> dict[str, Any]:
    """One engine with no adapter and then each number of them: the result that `--json` prints.

    BaseModelMissing; EngineUnavailable: it ended.
    """
    folder = folder_of(plan.base_model)
    settings = EngineSettings(
        slots=max(2, *plan.adapters), max_model_len=1024, cpu_kv_cache_gib=0.25, threads=plan.threads
    )
    with tempfile.TemporaryDirectory(prefix="lift-bench-") as files, running_store() as objects:
        adapter = write_random_adapter(Path(files, "adapter"), skeleton(folder), plan.rank)
        adapters = copies(adapter, max(plan.adapters))
        plan.say(f"{len(adapters)} adapters of rank {plan.rank} are written; starting an engine")
        with running(folder, settings, objects, max_lora_rank=plan.rank, variables={}) as engine:
            found = growing(engine, adapters, plan)
        size = sum(file.stat().st_size for file in adapter.iterdir())
    return {
        "machine": describe(),
        "environment": of_engine(),
        "threads": plan.threads,
        "rank": plan.rank,
        "adapter_megabytes": round(size / 1e6, 1),
        "repeats": plan.repeats,
        "registered": found,
    }


def growing(engine: Asked, adapters: Sequence[Path], plan: Plan) -> dict[str, Any]:
    """By number of adapters: GB, seconds of each load since the last number, tokens a second of one stream."""
    loaded, found = 0, {}
    for count in sorted({0, *plan.adapters}):
        folders = [str(folder) for folder in adapters[loaded:count]]
        loads = engine.ask("hold", folders=folders, first=1 + loaded)["seconds"]
        loaded = count
        rates = [_rate(engine, voice=count, seed=repeat) for repeat in range(plan.repeats)]
        found[str(count)] = {
            **{f"{kind}_gb": size for kind, size in engine.ask("memory").items()},
            "load_seconds": spread(loads, 4) if loads else None,
            "decode_tokens_per_second": spread(rates),
        }
        plan.say(f"{count} adapters: {found[str(count)]['memory_gb']:.2f} GB, {max(rates):.1f} tokens/s")
    return found


def _rate(engine: Asked, *, voice: int, seed: int) -> float:
    """Of one stream, in a second run."""
    engine.ask("answer", voices=[voice], prompt_tokens=8, answer_tokens=2, seed=seed)
    asked = {"prompt_tokens": DECODE.prompt_tokens, "answer_tokens": DECODE.answer_tokens}
    return DECODE.rate(engine.ask("answer", voices=[voice], seed=seed, **asked)["streams"])
