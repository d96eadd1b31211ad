"""Turns estimates into pictures: grouped bars with confidence intervals, and a heat map."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evals.intervals import Estimate
from lift.pictures import COLOURS, axes

OPTION = "out"
BAR, GAP, CHARACTER, MARGIN, MIN_WIDTH, HEIGHT = 0.28, 0.3, 0.09, 1.0, 6.0, 4.2
"""Inches of a bar, what is between groups, a character, what is beside the axes, and a picture of bars."""
CELL_WIDTH, CELL_HEIGHT, MIN_MAP_WIDTH = 0.9, 0.5, 3.5


def grouped_bars(file: Path, title: str, groups: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Groups side by side, in each a bar with its 95 % interval for every method that it has, between 0 and 1.

    InvalidOption: no picture can be made. OSError.
    """
    methods = list(dict.fromkeys(method for bars in groups.values() for method in bars))
    inches = max(BAR * len(methods), CHARACTER * max(map(len, groups), default=0)) + GAP
    with axes(file, OPTION, width=max(MIN_WIDTH, MARGIN + inches * len(groups)), height=HEIGHT, title=title) as drawn:
        for number, method in enumerate(methods):
            aside = (number - (len(methods) - 1) / 2) * BAR / inches
            found = [(place + aside, bars[method]) for place, bars in enumerate(groups.values()) if method in bars]
            drawn.bar(
                [place for place, _ in found],
                [estimate.mean for _, estimate in found],
                width=0.9 * BAR / inches,
                yerr=_errors([estimate for _, estimate in found]),
                color=COLOURS[number % len(COLOURS)],
                capsize=3,
                label=method,
            )
        drawn.set_xticks(range(len(groups)), list(groups))
        drawn.set_xlim(-0.5, len(groups) - 0.5)
        drawn.set_ylim(0, 1.02)
        drawn.yaxis.set_major_formatter("{x:.0%}")
        drawn.grid(axis="y")
        drawn.figure.legend(loc="outside lower center", ncols=len(methods))


def _errors(found: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """How far intervals reach below and above their means."""
    return [estimate.mean - estimate.low for estimate in found], [estimate.high - estimate.mean for estimate in found]


def heat_map(file: Path, title: str, cells: Mapping[tuple[str, str], float], rows: str, columns: str) -> None:
    """Cells by (row, column) between 0, red, and 1, green, as figure 5 of the paper has them.

    InvalidOption: no picture can be made. OSError.
    """
    down = list(dict.fromkeys(row for row, _ in cells))
    across = list(dict.fromkeys(column for _, column in cells))
    width, height = max(MIN_MAP_WIDTH, MARGIN + CELL_WIDTH * len(across)), MARGIN + CELL_HEIGHT * len(down)
    with axes(file, OPTION, width=width, height=height, title=title) as drawn:
        shares = [[cells.get((row, column), float("nan")) for column in across] for row in down]
        drawn.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto", alpha=0.7)
        for (row, column), share in cells.items():
            drawn.text(across.index(column), down.index(row), f"{share:.0%}", ha="center", va="center")
        drawn.set_xticks(range(len(across)), across)
        drawn.set_yticks(range(len(down)), down)
        drawn.set_xlabel(columns)
        drawn.set_ylabel(rows)
