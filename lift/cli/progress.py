"""Turns the states of a job into live bars on a terminal, and into plain lines elsewhere; both on stderr."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lift import values

LINE_EVERY_SECONDS = 5.0


def followed(states: Iterable[values.Job]) -> values.Job:
    """The last state; shows every one on its way."""
    console = Console(stderr=True)
    with _bars(console) if console.is_terminal else _lines(console) as show:
        for job in states:
            show(job)
    return job


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[values.Job], None]]:
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        sentences = progress.add_task("sentences", total=None)
        pairs = progress.add_task("questions and answers", total=None)
        steps = progress.add_task("training", total=None)

        def show(job: values.Job) -> None:
            done = job.progress
            progress.update(sentences, completed=done.sentences_done, total=done.sentences or None)
            all_written = done.sentences and done.sentences_done == done.sentences
            progress.update(pairs, completed=done.pairs, total=done.pairs if all_written else None)
            loss = f", loss {done.loss:.2f}" if done.step else ""
            progress.update(steps, completed=done.step, total=done.steps or None, description=f"training{loss}")
            if job.state is values.JobState.WAITING:
                progress.console.print(f"waiting: {job.reason}", markup=False)

        yield show


@contextmanager
def _lines(console: Console) -> Iterator[Callable[[values.Job], None]]:
    last_phase, last_time = "", 0.0

    def show(job: values.Job) -> None:
        nonlocal last_phase, last_time
        phase = f"{job.state} {job.progress.stage} {job.reason}".rstrip()
        if phase != last_phase or time.monotonic() - last_time > LINE_EVERY_SECONDS:
            last_phase, last_time = phase, time.monotonic()
            console.print(f"{phase}{_numbers(job.progress)}", markup=False, highlight=False, soft_wrap=True)

    yield show


def _numbers(done: values.Progress) -> str:
    parts = []
    if done.sentences:
        parts.append(f"sentences {done.sentences_done}/{done.sentences}, pairs {done.pairs}")
    if done.step:
        parts.append(f"step {done.step}/{done.steps or '?'}, loss {done.loss:.3f}")
    return "".join(f"; {part}" for part in parts)
