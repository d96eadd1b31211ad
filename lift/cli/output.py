"""Turns values into what commands print: one JSON object, or lines and tables for people."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lift.errors import LiftError

PIPE_WIDTH = 2000


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses are objects, times ISO strings, paths and errors strings."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(held) for name, held in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Path | LiftError):
        return str(value)
    return value


def print_json(content: Mapping[str, Any]) -> None:
    """One object on stdout. Numbers that JSON has none of, such as the loss of a training that diverged, are null."""
    line(json.dumps(_finite(plain(content)), indent=2, ensure_ascii=False, allow_nan=False))


def print_object(value: Any, as_json: bool) -> None:
    """One value: a JSON object, or a line for each of its fields."""
    content = plain(value)
    if as_json:
        print_json(content)
        return
    width = max(map(len, content), default=0)
    for name, held in content.items():
        line(f"{name:<{width}}  {_cell(held)}")


def print_rows(name: str, rows: Iterable[Any], columns: Sequence[str], as_json: bool) -> None:
    """Many values: a JSON object with one list of that name, or a table of some columns."""
    content = [plain(row) for row in rows]
    if as_json:
        print_json({name: content})
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    # Ids are folded at a terminal's edge, never cut off, and nothing in a title is taken for markup.
    table = Table(*(Column(column, overflow="fold") for column in columns), box=None, pad_edge=False)
    for row in content:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def print_nothing(as_json: bool) -> None:
    """The result of a command whose effect is all there is to say."""
    if as_json:
        print_json({})


def line(text: str) -> None:
    """A line on stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line on stderr, beside the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        parts = {name: _part(held) for name, held in value.items()}
        return " ".join(f"{name}={part}" for name, part in parts.items() if part != "-") or "-"
    if isinstance(value, list):
        return " ".join(map(_cell, value)) or "-"
    return str(value).replace("\n", " ") or "-"


def _part(value: Any) -> str:
    """What is in something else: zero is nothing there, and what has parts of its own stands in parentheses."""
    cell = _cell(value or None)
    return f"({cell})" if isinstance(value, dict) and cell != "-" else cell
