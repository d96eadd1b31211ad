"""Draws figures as lines over a logarithmic axis: what something costs against how much of it there is."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lift.cli.pictures import GRID, Paper, ticks
from lift.errors import InvalidOption

OPTION = "plot"
WIDTH, HEIGHT, MARGIN, LABELS, KEY = 900, 480, 30, 60, 230
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d")

Line = Sequence[tuple[float, float]]


def plot(file: Path, *, title: str, x: str, y: str, lines: Mapping[str, Line]) -> None:
    """One line of points (x above 0, y) for each name. InvalidOption: no picture can be made. OSError."""
    if not any(lines.values()):
        raise InvalidOption(option=OPTION, problem="there is nothing to draw")
    paper = Paper.of_size(WIDTH, HEIGHT, OPTION)
    paper.write(MARGIN, MARGIN / 2, title)
    paper.write(MARGIN, MARGIN + 4, y)
    paper.write(WIDTH - KEY - MARGIN - 8 * len(x), HEIGHT - MARGIN, x)
    points = [point for line in lines.values() for point in line]
    area = _Area(points)
    area.draw_axes(paper, sorted({across for across, _ in points}))
    for number, (name, line) in enumerate(lines.items()):
        colour, top = COLOURS[number % len(COLOURS)], 2 * MARGIN + 22 * number
        _draw_line(paper, area, colour, sorted(line))
        paper.draw.rectangle((WIDTH - KEY, top, WIDTH - KEY + 14, top + 14), fill=colour)
        paper.write(WIDTH - KEY + 22, top - 1, name)
    paper.save(file, OPTION)


class _Area:
    """Where points lie: x in powers of two, y from 0."""

    def __init__(self, points: Line) -> None:
        self._least, most = (math.log2(pick(x for x, _ in points)) for pick in (min, max))
        self._highest = max((y for _, y in points if y), default=1.0)
        self._left, self._bottom = MARGIN + LABELS, HEIGHT - MARGIN - 30
        self._across = (WIDTH - KEY - 2 * MARGIN - LABELS) / max(most - self._least, 1e-9)
        self._up = (self._bottom - 2 * MARGIN - 10) / self._highest

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        return self._left + (math.log2(x) - self._least) * self._across, self._bottom - y * self._up

    def draw_axes(self, paper: Paper, xs: Sequence[float]) -> None:
        """Lines at round numbers of y, and the x that there are."""
        for tick in ticks(self._highest):
            _, height = self.place(xs[0], tick)
            paper.draw.line((self._left, height, WIDTH - KEY - MARGIN, height), fill=GRID)
            paper.write(MARGIN, height - 8, f"{tick:g}")
        for x in xs:
            paper.write(self.place(x, 0)[0] - 4, self._bottom + 6, f"{x:g}")


def _draw_line(paper: Paper, area: _Area, colour: str, line: Line) -> None:
    places = [area.place(x, y) for x, y in line]
    paper.draw.line(places, fill=colour, width=2)
    for left, top in places:
        paper.draw.ellipse((left - 4, top - 4, left + 4, top + 4), fill=colour)
