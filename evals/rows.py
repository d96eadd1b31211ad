"""Rows of a file in an output folder: appended as they come, a JSON object a line, and read back by a rerun."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evals.errors import DataMalformed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def append(file: Path, row: "DataclassInstance") -> None:
    """Adds a row. OSError."""
    with file.open("a", encoding="utf-8") as rows:
        rows.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def read(file: Path, parsed: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """The rows, each as `parsed` makes it of its object; none where there is no file.

    A last line that was cut off by the end of a process is taken out of the file. DataMalformed: `parsed` takes a line
    for no row, with ValueError, TypeError or KeyError. OSError.
    """
    content = file.read_bytes() if file.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(file, len(whole))
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):  # an answer may hold other ends of lines
        try:
            yield parsed(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise DataMalformed(file=str(file), line=number, problem="not a row of results") from error
