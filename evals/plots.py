"""Turns estimates into pictures: grouped bars with confidence intervals, and a heat map (SVG).

They are written out here, since no plotting library is among the project's dependencies and two kinds of picture need
little: any browser shows them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from evals.intervals import Estimate

COLOURS = ("#8d99ae", "#e9c46a", "#f4a261", "#2a6f97", "#014f86", "#90be6d", "#bc4749")
HEIGHT, BAR, GAP, LEFT, TOP, BOTTOM = 260, 26, 30, 60, 40, 60
CELL_WIDTH, CELL_HEIGHT = 84, 44
MIN_WIDTH = 420
CHARACTER_WIDTH = 7


class Picture:
    """An SVG picture that grows by shapes."""

    def __init__(self, width: float, height: float, title: str) -> None:
        size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
        self._root = Xml.Element(
            "svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "12", **size}
        )
        self.rectangle(0, 0, width, height, "white")
        self.text(width / 2, 20, title, weight="bold")

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
        Xml.SubElement(self._root, "rect", {**place, "fill": colour})

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = "#333") -> None:
        """A thin line."""
        ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
        Xml.SubElement(self._root, "line", {**ends, "stroke": colour})

    def text(self, x: float, y: float, content: str, *, anchor: str = "middle", weight: str = "normal") -> None:
        """A line of text."""
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-weight": weight, "fill": "#222"}
        Xml.SubElement(self._root, "text", place).text = content

    def write(self, file: Path) -> None:
        """Writes the picture."""
        file.write_text(Xml.tostring(self._root, encoding="unicode") + "\n", encoding="utf-8")


def grouped_bars(title: str, groups: Mapping[str, Mapping[str, Estimate]]) -> Picture:
    """Groups side by side, in each a bar with its 95 % interval for every method that it has, between 0 and 1."""
    methods = list(dict.fromkeys(method for bars in groups.values() for method in bars))
    group_width = max(BAR * len(methods), CHARACTER_WIDTH * max(map(len, groups), default=0)) + GAP
    width = max(MIN_WIDTH, LEFT + group_width * len(groups) + GAP)
    picture = Picture(width, TOP + HEIGHT + BOTTOM, title)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        picture.line(LEFT, _y(share), width - GAP / 2, _y(share), "#ddd")
        picture.text(LEFT - 8, _y(share) + 4, f"{share:.0%}", anchor="end")
    for number, (group, bars) in enumerate(groups.items()):
        middle = LEFT + (number + 0.5) * group_width
        left = middle - BAR * len(methods) / 2
        picture.text(middle, TOP + HEIGHT + 18, group)
        for place, method in enumerate(methods):
            if method in bars:
                _bar(picture, left + place * BAR, bars[method], COLOURS[place % len(COLOURS)])
    _legend(picture, methods, width)
    return picture


def _bar(picture: Picture, x: float, found: Estimate, colour: str) -> None:
    picture.rectangle(x + 2, _y(found.mean), BAR - 4, found.mean * HEIGHT, colour)
    middle = x + BAR / 2
    picture.line(middle, _y(found.low), middle, _y(found.high))
    for end in (found.low, found.high):
        picture.line(middle - 4, _y(end), middle + 4, _y(end))


def _legend(picture: Picture, methods: Sequence[str], width: float) -> None:
    step = (width - LEFT) / max(1, len(methods))
    for place, method in enumerate(methods):
        x = LEFT + place * step
        picture.rectangle(x, TOP + HEIGHT + 34, 12, 12, COLOURS[place % len(COLOURS)])
        picture.text(x + 16, TOP + HEIGHT + 44, method, anchor="start")


def _y(share: float) -> float:
    return TOP + (1 - share) * HEIGHT


def heat_map(title: str, cells: Mapping[tuple[str, str], float], rows: str, columns: str) -> Picture:
    """Cells by (row, column) between 0, red, and 1, green, as figure 5 of the paper has them."""
    down = list(dict.fromkeys(row for row, _ in cells))
    across = list(dict.fromkeys(column for _, column in cells))
    left, top = LEFT + 40, TOP + 30
    width = max(MIN_WIDTH, left + CELL_WIDTH * len(across) + GAP)
    picture = Picture(width, top + CELL_HEIGHT * len(down) + GAP, title)
    picture.text(left - 8, top - 8, f"{rows} \\ {columns}", anchor="end")
    for i, column in enumerate(across):
        picture.text(left + (i + 0.5) * CELL_WIDTH, top - 8, column)
    for j, row in enumerate(down):
        picture.text(left - 8, top + (j + 0.5) * CELL_HEIGHT + 4, row, anchor="end")
        for i, column in enumerate(across):
            if (row, column) in cells:
                share, x, y = cells[row, column], left + i * CELL_WIDTH, top + j * CELL_HEIGHT
                picture.rectangle(x + 1, y + 1, CELL_WIDTH - 2, CELL_HEIGHT - 2, f"hsl({120 * share:.0f}, 60%, 65%)")
                picture.text(x + CELL_WIDTH / 2, y + CELL_HEIGHT / 2 + 4, f"{share:.0%}")
    return picture
