"""Files in which a process keeps what it has found out, for itself and for others."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any


def file_of(folder: Path, name: str, made_of: Any) -> Path:
    """Where it is kept. `name`: with its suffix; `made_of`: all that it depends on, as JSON has it."""
    digest = sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    stem, dot, suffix = name.partition(".")
    return folder / f"{stem}-{digest}{dot}{suffix}"


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
