"""What every picture needs: a file that can hold it, paper to draw on, and axes with round numbers. Pillow draws."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lift.errors import InvalidOption

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
TICKS = 8
FONT_SIZE = 14
INK, GRID, WHITE = "#222222", "#dddddd", "#ffffff"


def checked(file: Path, option: str) -> Path:
    """The file itself. InvalidOption: its suffix is no picture's, or its folder is not there."""
    if file.suffix.lower() not in SUFFIXES:
        raise InvalidOption(option=option, value=str(file), expected=f"a file that ends in {' '.join(SUFFIXES)}")
    if not file.parent.is_dir():
        raise InvalidOption(option=option, value=str(file), problem="there is no such folder")
    return file


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """An empty picture, what draws on it, and its font."""

    image: Any
    draw: Any
    font: Any

    @classmethod
    def of_size(cls, width: int, height: int, option: str) -> Self:
        """InvalidOption: Pillow is not installed."""
        try:
            from PIL import Image, ImageDraw, ImageFont
        except ImportError as error:
            raise InvalidOption(option=option, problem="Pillow, which draws it, is not installed") from error
        image = Image.new("RGB", (width, height), WHITE)
        return cls(image=image, draw=ImageDraw.Draw(image), font=ImageFont.load_default(FONT_SIZE))

    def write(self, x: float, y: float, text: str) -> None:
        """A line of text whose upper left corner is there."""
        self.draw.text((x, y), text, fill=INK, font=self.font)

    def save(self, file: Path, option: str) -> None:
        """InvalidOption: as `checked`, or this Pillow cannot write such a file. OSError."""
        try:
            self.image.save(checked(file, option))
        except KeyError as error:  # how Pillow says that it was built without a format
            raise InvalidOption(option=option, value=str(file), problem="this kind cannot be written here") from error


def tick_step(longest: float) -> float:
    """The distance of an axis's lines: 1, 2 or 5 times a power of ten, for at most TICKS of them."""
    rough = longest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def ticks(longest: float) -> list[float]:
    """The lines from 0 to `longest`."""
    step = tick_step(longest)
    return [number * step for number in range(math.floor(longest / step + 1e-9) + 1)]
