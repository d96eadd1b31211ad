"""The benchmarks of `lift eval`: how the files of each become cases, and which methods make sense for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.cases import Case
from evals.datasets.own import own
from evals.methods import METHODS

ALL = frozenset(METHODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark."""

    load: Callable[[Sequence[Path]], Sequence[Case]]
    methods: frozenset[str] = ALL


BENCHMARKS: Mapping[str, Benchmark] = {
    "own": Benchmark(load=own),
}
