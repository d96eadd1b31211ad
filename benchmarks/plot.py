"""Draws figures as lines: what something costs against how much of it there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lift.errors import InvalidOption
from lift.pictures import COLOURS, axes

OPTION = "plot"
WIDTH, HEIGHT = 9.0, 4.8

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a plot shows: one line of points (x above 0, y) for each name, over a logarithmic axis.

    `proportional`: over a linear one, where what grows with x is straight.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Line]
    proportional: bool = False


def draw(file: Path, growth: Growth) -> None:
    """InvalidOption: no picture can be made. OSError."""
    if not any(growth.lines.values()):
        raise InvalidOption(option=OPTION, problem="there is nothing to draw")
    xs = sorted({across for line in growth.lines.values() for across, _ in line})
    highest = max(up for line in growth.lines.values() for _, up in line)
    with axes(file, OPTION, width=WIDTH, height=HEIGHT, title=growth.title) as drawn:
        drawn.set_prop_cycle(color=COLOURS)
        for name, line in growth.lines.items():
            drawn.plot(*zip(*sorted(line), strict=True), marker="o", label=name)
        if not growth.proportional:
            drawn.set_xscale("log", base=2)
        drawn.set_xticks(xs, [f"{across:,.12g}" for across in xs])
        drawn.set_xlabel(growth.x)
        drawn.set_ylabel(growth.y)
        drawn.set_ylim(0, 1.05 * highest or 1)
        drawn.grid(axis="y")
        drawn.figure.legend(loc="outside right upper")
