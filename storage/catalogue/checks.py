"""Refuses what the catalogue cannot keep."""

import json
from collections.abc import Mapping
from typing import Any

from lift.errors import InvalidOption

_MAX_TITLE = 200


def checked_title(title: str) -> str:
    """The title itself. InvalidOption: more than 200 characters, or control characters in it."""
    if len(title) > _MAX_TITLE:
        raise InvalidOption(option="title", problem=f"longer than {_MAX_TITLE} characters")
    if not title.isprintable():
        raise InvalidOption(option="title", problem="holds control characters")
    return title


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as JSON holds them. InvalidOption: one that JSON cannot hold, such as an infinite number."""
    for name, value in options.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidOption(option=name) from error
    return dict(options)
