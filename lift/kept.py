"""Files in which a process keeps what it has found out, for itself and for others."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger()


def file_of(folder: Path, name: str, made_of: Any) -> Path:
    """Where it is kept. `name`: with its suffix; `made_of`: all that it depends on, as JSON has it."""
    digest = sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    stem, dot, suffix = name.partition(".")
    return folder / f"{stem}-{digest}{dot}{suffix}"


def remembered(
    file: Path, read: Callable[[Path], T], make: Callable[[], T], write: Callable[[T, Path], object]
) -> tuple[T, bool]:
    """What a file holds, or else what is made and written there whole; and whether the file holds it now.

    `read` raises OSError or ValueError where there is no file, or it is no such one; `write` OSError.
    """
    try:
        return read(file), True
    except (OSError, ValueError):
        made = make()
    try:
        with written_whole(file) as unfinished:
            write(made, unfinished)
    except OSError as error:
        log.warning("not_kept", file=str(file), error=str(error))
        return made, False
    return made, True


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A path to write to in the block, which then takes the file's place: all of it, or nothing. OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        yield unfinished
        unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)


def write_privately(file: Path, content: str) -> None:
    """Writes the file whole, for this user alone. OSError."""
    with written_whole(file) as unfinished:
        unfinished.touch(mode=0o600)
        unfinished.write_text(content)
