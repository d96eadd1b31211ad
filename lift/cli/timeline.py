"""Turns a job into a picture of its stages: one bar a stage, over an axis of seconds."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lift import values
from lift.errors import InvalidOption
from lift.timeline import Span, spans

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
WIDTH, ROW, MARGIN, LABELS = 1000, 34, 24, 130
TICKS = 8
INK, GRID, PAPER = "#222222", "#dddddd", "#ffffff"
COLOURS = {"queue": "#9e9e9e", "generate": "#4c78a8", "first pair": "#9ecae9", "train": "#f58518"}
OTHER_COLOUR = "#54a24b"


def checked(file: Path) -> Path:
    """The file itself. InvalidOption: its suffix is no picture's, or its folder is not there."""
    if file.suffix.lower() not in SUFFIXES:
        raise InvalidOption(option="timeline", value=str(file), expected=f"a file that ends in {' '.join(SUFFIXES)}")
    if not file.parent.is_dir():
        raise InvalidOption(option="timeline", value=str(file), problem="there is no such folder")
    return file


def write(job: values.Job, file: Path) -> None:
    """Draws the stages that have begun. InvalidOption: the job is a deletion, or Pillow is missing. OSError."""
    if job.kind is not values.JobKind.TRAIN:
        raise InvalidOption(option="timeline", problem="only trainings have stages")
    placed = spans(job.progress.seconds)
    picture = _picture(_title(job, placed), placed)
    try:
        picture.save(checked(file))
    except KeyError as error:  # how Pillow says that it was built without a format
        raise InvalidOption(option="timeline", value=str(file), problem="this kind cannot be written here") from error


def _title(job: values.Job, placed: Sequence[Span]) -> str:
    done, seconds = job.progress, job.progress.seconds
    parts = [f"{job.id} {job.state}", f"{done.sentences} sentences, {done.pairs} pairs, {done.step} steps"]
    if seconds.total:
        parts.append(f"{seconds.total:.1f} s from accepted to ready")
    if seconds.train:
        parts.append(f"starved {seconds.starved / seconds.train:.0%} of training")
    return "; ".join(parts) if placed else f"{job.id} {job.state}: no stage has begun"


def _picture(title: str, placed: Sequence[Span]) -> Any:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise InvalidOption(option="timeline", problem="Pillow, which draws it, is not installed") from error
    font = ImageFont.load_default(14)
    image = Image.new("RGB", (WIDTH, 2 * MARGIN + ROW * (len(placed) + 2)), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=font)
    if placed:
        _draw_axis(draw, placed, font)
    for row, span in enumerate(placed):
        _draw_bar(draw, row, span, _scale(placed), font)
    return image


def _scale(placed: Sequence[Span]) -> float:
    """Pixels a second; the last bar leaves room for its label."""
    return (WIDTH - 2 * MARGIN - 2 * LABELS) / max(span.end_seconds for span in placed)


def tick_seconds(longest: float) -> float:
    """The distance of the axis's lines: 1, 2 or 5 times a power of ten, for at most TICKS of them."""
    rough = longest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def _draw_axis(draw: Any, placed: Sequence[Span], font: Any) -> None:
    longest, scale = max(span.end_seconds for span in placed), _scale(placed)
    top, bottom = MARGIN + ROW, MARGIN + ROW * (len(placed) + 1)
    step = tick_seconds(longest)
    for tick in range(math.floor(longest / step + 1e-9) + 1):
        x = MARGIN + LABELS + tick * step * scale
        draw.line((x, top, x, bottom), fill=GRID)
        draw.text((x - 8, bottom + 4), f"{tick * step:g} s", fill=INK, font=font)


def _draw_bar(draw: Any, row: int, span: Span, scale: float, font: Any) -> None:
    top = MARGIN + ROW * (row + 1)
    left, right = (MARGIN + LABELS + seconds * scale for seconds in (span.start_seconds, span.end_seconds))
    draw.text((MARGIN, top + 8), span.stage, fill=INK, font=font)
    colour = COLOURS.get(span.stage, OTHER_COLOUR)
    draw.rectangle((left, top + 5, max(right, left + 1), top + ROW - 7), fill=colour)
    draw.text((max(right, left + 1) + 6, top + 8), f"{span.seconds:.2f} s", fill=INK, font=font)
