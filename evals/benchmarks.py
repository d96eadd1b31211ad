"""The benchmarks of `lift eval`: how the files of each become cases, and which methods make sense for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evals.cases import Case
from evals.datasets.forgetting import forgetting
from evals.datasets.loogle import loogle
from evals.datasets.niah import niah
from evals.datasets.own import own
from evals.datasets.squad import squad
from evals.methods import METHODS
from evals.training import RAW_EPOCHS


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What can be chosen about single benchmarks. `tokens` counts a text's tokens as the served model has them."""

    tokens: Callable[[str], int]
    per: Literal["paragraph", "article"] = "paragraph"
    lengths: tuple[int, ...] = (1000, 2000, 4000)
    depths: tuple[int, ...] = (0, 25, 50, 75, 100)
    instances: int = 1
    questions: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark.

    settings: choices without which its results mean something else. training: options that its adapters have where
    none are given; raw_epochs: those of raw text, likewise (LIFT, table 5). retention: whether what matters is how much
    of the base model's right answers stays right.
    """

    load: Callable[[Sequence[Path], Choices], Sequence[Case]]
    methods: frozenset[str] = frozenset(METHODS)
    settings: tuple[str, ...] = ()
    training: Mapping[str, str] = field(default_factory=dict)
    raw_epochs: int = RAW_EPOCHS
    retention: bool = False

    def settings_of(self, choices: Choices) -> dict[str, Any]:
        """The settings by name."""
        return {name: getattr(choices, name) for name in self.settings}


def _niah(files: Sequence[Path], choices: Choices) -> Sequence[Case]:
    lengths, depths, instances = choices.lengths, choices.depths, choices.instances
    return niah(files, lengths=lengths, depths=depths, instances=instances, tokens=choices.tokens)


BENCHMARKS: Mapping[str, Benchmark] = {
    "squad": Benchmark(
        load=lambda files, choices: squad(files, per_article=choices.per == "article"), settings=("per",)
    ),
    "niah": Benchmark(load=_niah, training={"generation_profile": "needle"}, raw_epochs=16),
    "loogle": Benchmark(load=lambda files, _: loogle(files)),
    "forgetting": Benchmark(
        load=lambda files, choices: forgetting(files, choices.questions),
        methods=frozenset({"base", "lift"}),
        retention=True,
    ),
    "own": Benchmark(load=lambda files, _: own(files)),
}
