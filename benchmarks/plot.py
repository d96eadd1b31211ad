"""Draws figures as lines: what something costs against how much of it there is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lift.errors import InvalidOption
from lift.pictures import COLOURS, axes

OPTION = "plot"
WIDTH, HEIGHT = 9.0, 4.8

Line = Sequence[tuple[float, float]]


def plot(file: Path, *, title: str, x: str, y: str, lines: Mapping[str, Line], proportional: bool = False) -> None:
    """One line of points (x above 0, y) for each name, over a logarithmic axis.

    `proportional`: over a linear one, where what grows with x is straight. InvalidOption: no picture can be made.
    OSError.
    """
    if not any(lines.values()):
        raise InvalidOption(option=OPTION, problem="there is nothing to draw")
    xs = sorted({across for line in lines.values() for across, _ in line})
    highest = max(up for line in lines.values() for _, up in line)
    with axes(file, OPTION, width=WIDTH, height=HEIGHT, title=title) as drawn:
        drawn.set_prop_cycle(color=COLOURS)
        for name, line in lines.items():
            drawn.plot(*zip(*sorted(line), strict=True), marker="o", label=name)
        if not proportional:
            drawn.set_xscale("log", base=2)
        drawn.set_xticks(xs, [f"{across:,.12g}" for across in xs])
        drawn.set_xlabel(x)
        drawn.set_ylabel(y)
        drawn.set_ylim(0, 1.05 * highest or 1)
        drawn.grid(axis="y")
        drawn.figure.legend(loc="outside right upper")
