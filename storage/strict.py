"""Refuses what is not exactly what it should be: JSON that two readers could take for two things among it."""

import json
from typing import Any

from lift.errors import RevisionRejected


def require(true: bool, problem: str, **facts: str | int | float) -> None:
    """RevisionRejected where it is not true."""
    if not true:
        raise RevisionRejected(problem=problem, **facts)


def parsed(content: bytes, file: str) -> dict[str, Any]:
    """The JSON object, every name in it once. RevisionRejected, with the file's name."""
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once, parse_int=_integer)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # an escaped half of a character is none
    except (ValueError, RecursionError) as error:
        raise RevisionRejected(problem="not JSON of UTF-8, or a name is there twice", file=file) from error
    require(isinstance(found, dict), "not a JSON object", file=file)
    return dict(found)


def _integer(digits: str) -> int | float:
    """As safetensors reads it, for which -0 is none."""
    return -0.0 if digits == "-0" else int(digits)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)
