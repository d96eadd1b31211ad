"""Turns settings into the TOML that reads back as them."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, SecretStr

from lift.settings import Settings


def revealed(settings: BaseModel) -> dict[str, Any]:
    """All settings, or a part of them, as plain values, secrets in clear."""
    return _plain(settings.model_dump(), lambda secret: secret.get_secret_value())


def masked(settings: Settings) -> dict[str, Any]:
    """All settings as plain values, secrets as stars (or empty, where they are)."""
    return _plain(settings.model_dump(), str)


def described(settings: type[BaseModel] = Settings, above: str = "") -> dict[str, str]:
    """What each setting and each table of settings is for, by its name with dots."""
    found: dict[str, str] = {}
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= {name: field.annotation.__doc__ or "", **described(field.annotation, f"{name}.")}
        else:
            found[above + name] = field.description or ""
    return found


def to_toml(content: Mapping[str, Any], notes: Mapping[str, str] = MappingProxyType({})) -> str:
    """Plain values, and tables of plain values, as TOML; with a comment where `notes` has one under the dotted name."""
    plain = {name: value for name, value in content.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    blocks = [_lines(plain, notes, "")]
    for name, table in tables.items():
        blocks.append(f"{_noted(f'[{name}]', notes.get(name))}\n{_lines(table, notes, f'{name}.')}")
    return "\n\n".join(filter(None, blocks)) + "\n"


def _lines(values: Mapping[str, Any], notes: Mapping[str, str], above: str) -> str:
    # Strings, numbers and booleans of JSON are TOML's.
    return "\n".join(_noted(f"{name} = {json.dumps(value)}", notes.get(above + name)) for name, value in values.items())


def _noted(line: str, note: str | None) -> str:
    return f"{line}  # {note}" if note else line


def _plain(content: Mapping[str, Any], reveal: Any) -> dict[str, Any]:
    return {name: _plain_value(value, reveal) for name, value in content.items()}


def _plain_value(value: Any, reveal: Any) -> Any:
    if isinstance(value, Mapping):
        return _plain(value, reveal)
    if isinstance(value, SecretStr):
        return reveal(value)
    return value if isinstance(value, bool | int | float) else str(value)
