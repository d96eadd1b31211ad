"""Turns settings into the TOML that reads back as them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from lift.settings import Settings


def revealed(settings: BaseModel) -> dict[str, Any]:
    """All settings, or a part of them, as plain values, secrets in clear."""
    return _plain(settings.model_dump(), lambda secret: secret.get_secret_value())


def masked(settings: Settings) -> dict[str, Any]:
    """All settings as plain values, secrets as stars (or empty, where they are)."""
    return _plain(settings.model_dump(), str)


def to_toml(content: Mapping[str, Any]) -> str:
    """Plain values, and tables of plain values, as TOML."""
    plain = {name: value for name, value in content.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    blocks = [_lines(plain), *(f"[{name}]\n{_lines(table)}" for name, table in tables.items())]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _lines(values: Mapping[str, Any]) -> str:
    # Strings, numbers and booleans of JSON are TOML's.
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())


def _plain(content: Mapping[str, Any], reveal: Any) -> dict[str, Any]:
    return {name: _plain_value(value, reveal) for name, value in content.items()}


def _plain_value(value: Any, reveal: Any) -> Any:
    if isinstance(value, Mapping):
        return _plain(value, reveal)
    if isinstance(value, SecretStr):
        return reveal(value)
    return value if isinstance(value, bool | int | float) else str(value)
