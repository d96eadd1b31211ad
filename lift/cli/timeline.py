"""Turns a job into a picture of its stages: one bar a stage, over an axis of seconds."""

from collections.abc import Sequence
from pathlib import Path

from lift import values
from lift.cli.pictures import GRID, Paper, ticks
from lift.errors import InvalidOption
from lift.timeline import Span, spans

OPTION = "timeline"
WIDTH, ROW, MARGIN, LABELS = 1000, 34, 24, 130
COLOURS = {"queue": "#9e9e9e", "generate": "#4c78a8", "first pair": "#9ecae9", "train": "#f58518"}
OTHER_COLOUR = "#54a24b"


def write(job: values.Job, file: Path) -> None:
    """Draws the stages that have begun. InvalidOption: the job is a deletion, or no picture can be made. OSError."""
    if job.kind is not values.JobKind.TRAIN:
        raise InvalidOption(option=OPTION, problem="only trainings have stages")
    placed = spans(job.progress.seconds)
    paper = Paper.of_size(WIDTH, 2 * MARGIN + ROW * (len(placed) + 2), OPTION)
    paper.write(MARGIN, MARGIN, _title(job, placed))
    if placed:
        _draw(paper, placed)
    paper.save(file, OPTION)


def _title(job: values.Job, placed: Sequence[Span]) -> str:
    done, seconds = job.progress, job.progress.seconds
    parts = [f"{job.id} {job.state}", f"{done.sentences} sentences, {done.pairs} pairs, {done.step} steps"]
    if seconds.total:
        parts.append(f"{seconds.total:.1f} s from accepted to ready")
    if seconds.train:
        parts.append(f"starved {seconds.starved / seconds.train:.0%} of training")
    return "; ".join(parts) if placed else f"{job.id} {job.state}: no stage has begun"


def _draw(paper: Paper, placed: Sequence[Span]) -> None:
    longest = max(span.end_seconds for span in placed)
    scale = (WIDTH - 2 * MARGIN - 2 * LABELS) / longest  # pixels a second; the last bar leaves room for its label
    top, bottom = MARGIN + ROW, MARGIN + ROW * (len(placed) + 1)
    for tick in ticks(longest):
        x = MARGIN + LABELS + tick * scale
        paper.draw.line((x, top, x, bottom), fill=GRID)
        paper.write(x - 8, bottom + 4, f"{tick:g} s")
    for row, span in enumerate(placed):
        _draw_bar(paper, top + ROW * row, span, scale)


def _draw_bar(paper: Paper, top: int, span: Span, scale: float) -> None:
    left = MARGIN + LABELS + span.start_seconds * scale
    right = max(left + span.seconds * scale, left + 1)
    paper.write(MARGIN, top + 8, span.stage)
    paper.draw.rectangle((left, top + 5, right, top + ROW - 7), fill=COLOURS.get(span.stage, OTHER_COLOUR))
    paper.write(right + 6, top + 8, f"{span.seconds:.2f} s")
