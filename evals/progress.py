"""Shows rows as they come: a bar on a terminal, plain lines elsewhere; both on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evals.results import Row

LINE_EVERY_SECONDS = 5.0


@contextmanager
def shown(answers: int) -> Iterator[Callable[[Row], None]]:
    """What to call with each row."""
    console = Console(stderr=True)
    with _bar(console, answers) if console.is_terminal else _lines(console, answers) as done:
        yield done


@contextmanager
def _bar(console: Console, answers: int) -> Iterator[Callable[[Row], None]]:
    columns = (TextColumn("{task.description:<40}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("answers", total=answers)
        yield lambda row: progress.update(task, advance=1, description=_last(row)[:40])


@contextmanager
def _lines(console: Console, answers: int) -> Iterator[Callable[[Row], None]]:
    count, last = 0, 0.0

    def done(row: Row) -> None:
        nonlocal count, last
        count += 1
        if row.error or count == answers or time.monotonic() - last > LINE_EVERY_SECONDS:
            last = time.monotonic()
            console.print(f"{count}/{answers} {_last(row)}", markup=False, highlight=False, soft_wrap=True)

    yield done


def _last(row: Row) -> str:
    return f"{row.method}, {row.title}" + (f": {row.error}" if row.error else "")
