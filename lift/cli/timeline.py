"""Turns a job into a picture of its stages: one bar a stage, over an axis of seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lift import values
from lift.errors import InvalidOption
from lift.pictures import axes
from lift.timeline import Span, spans

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPTION = "timeline"
WIDTH, ROW, MARGIN = 10.0, 0.32, 1.1
COLOURS = {"queue": "#9e9e9e", "generate": "#4c78a8", "first pair": "#9ecae9", "train": "#f58518"}
OTHER_COLOUR = "#54a24b"


def write(job: values.Job, file: Path) -> None:
    """Draws the stages that have begun. InvalidOption: the job is a deletion, or no picture can be made. OSError."""
    if job.kind is not values.JobKind.TRAIN:
        raise InvalidOption(option=OPTION, problem="only trainings have stages")
    placed = spans(job.progress.seconds)
    with axes(file, OPTION, width=WIDTH, height=MARGIN + ROW * len(placed), title=_title(job, placed)) as drawn:
        if placed:
            _draw(drawn, placed)
        else:
            drawn.set_axis_off()


def _title(job: values.Job, placed: Sequence[Span]) -> str:
    if not placed:
        return f"{job.id} {job.state}: no stage has begun"
    done, seconds = job.progress, job.progress.seconds
    parts = [f"{done.sentences} sentences, {done.pairs} pairs, {done.step} steps"]
    if seconds.total:
        parts.append(f"{seconds.total:.1f} s from accepted to ready")
    if seconds.train:
        parts.append(f"starved {seconds.starved / seconds.train:.0%} of training")
    return f"{job.id} {job.state}\n{'; '.join(parts)}"


def _draw(drawn: "Axes", placed: Sequence[Span]) -> None:
    bars = drawn.barh(
        [span.stage for span in placed],
        [span.seconds for span in placed],
        left=[span.start_seconds for span in placed],
        color=[COLOURS.get(span.stage, OTHER_COLOUR) for span in placed],
    )
    drawn.bar_label(bars, [f"{span.seconds:.2f} s" for span in placed], padding=4)
    drawn.grid(axis="x")
    drawn.margins(x=0.1)
    drawn.set_xlim(left=0)
    drawn.set_xlabel("seconds since the job was accepted")
    drawn.invert_yaxis()
