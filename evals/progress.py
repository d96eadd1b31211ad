"""Shows rows and trainings as they come: a bar on a terminal, plain lines elsewhere; both on stderr."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evals.results import Row

LINE_EVERY_SECONDS = 5.0
DESCRIPTION_CHARACTERS = 60


class Shown(Protocol):
    """What hears of progress, from several threads."""

    def done(self, row: Row) -> None:
        """One more answer."""
        ...

    def say(self, text: str) -> None:
        """What is going on."""
        ...


@contextmanager
def shown(answers: int) -> Iterator[Shown]:
    """Shows progress towards so many answers."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console, answers)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, answers)


class Bar:
    """One live bar."""

    def __init__(self, progress: Progress, answers: int) -> None:
        self._progress = progress
        self._task = progress.add_task("answers", total=answers)

    def done(self, row: Row) -> None:
        """One more answer."""
        self._progress.advance(self._task)
        self.say(_name(row))
        if row.error:
            self._progress.console.print(f"{_name(row)}: {row.error}", markup=False, highlight=False)

    def say(self, text: str) -> None:
        """What is going on."""
        self._progress.update(self._task, description=f"{text[:DESCRIPTION_CHARACTERS]:<{DESCRIPTION_CHARACTERS}}")


class Lines:
    """A line every few seconds, and one for each failure and for the end."""

    def __init__(self, console: Console, answers: int) -> None:
        self._console = console
        self._answers = answers
        self._count = 0
        self._last = 0.0
        self._lock = threading.Lock()

    def done(self, row: Row) -> None:
        """One more answer."""
        with self._lock:
            self._count += 1
            error = f": {row.error}" if row.error else ""
            self._print(_name(row) + error, now=bool(error) or self._count == self._answers)

    def say(self, text: str) -> None:
        """What is going on."""
        with self._lock:
            self._print(text)

    def _print(self, text: str, now: bool = False) -> None:
        if now or time.monotonic() - self._last > LINE_EVERY_SECONDS:
            self._last = time.monotonic()
            line = f"{self._count}/{self._answers} {text}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _name(row: Row) -> str:
    return f"{row.method}, {row.title}"
