"""What every picture shares: a file whose suffix says its kind, and axes of one style. matplotlib draws."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lift.errors import InvalidOption

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#9e9e9e")
STYLE: dict[Any, Any] = {  # matplotlib types its keys as one long Literal
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.fonttype": "none",  # text stays text, which can be searched
    "text.parse_math": False,  # a title may hold a dollar sign
}


def available(option: str) -> None:
    """InvalidOption: matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise InvalidOption(option=option, needs="the package matplotlib: pip install 'lift-server[pictures]'")


def checked(file: Path, option: str) -> Path:
    """The file itself. InvalidOption: it can be no picture, its folder is not there, or nothing can draw it."""
    if file.suffix.lower() not in SUFFIXES:
        raise InvalidOption(option=option, value=str(file), expected=f"a file that ends in {' or '.join(SUFFIXES)}")
    if not file.parent.is_dir():
        raise InvalidOption(option=option, value=str(file), problem="there is no such folder")
    available(option)
    return file


@contextmanager
def axes(file: Path, option: str, *, width: float, height: float, title: str) -> Iterator["Axes"]:
    """Axes of a picture in inches, written at the end of the block. InvalidOption: as `checked`. OSError."""
    checked(file, option)
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot there is no display, and no figure that outlives its block

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        drawn = figure.add_subplot(title=title)
        yield drawn
        figure.savefig(file)
