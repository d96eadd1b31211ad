"""Training options on a command line, as NAME=VALUE. InvalidOption: one cannot be used."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

from lift.errors import InvalidOption
from lift.limits import MAX_INT32, TRAINING_LIMITS
from lift.values import TrainingOptions

Train = Annotated[
    list[str] | None,
    typer.Option("--train", metavar="NAME=VALUE", help="A training option, may be repeated; a name of none lists all."),
]


def named(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE as names and values."""
    return {name: value for name, _, value in (setting.partition("=") for setting in given)}


def training_options(given: Mapping[str, str], option: str = "train") -> TrainingOptions | None:
    """The training options of those names; None where there are none, which leaves all to the server.

    `option`: where on the command line they were given.
    """
    kinds = {field.name: field.type for field in fields(TrainingOptions)}
    found: dict[str, Any] = {}
    for name, value in given.items():
        kind = next((kind for kind in (int, float, str) if kinds.get(name) == kind | None), None)
        if kind is None:
            raise InvalidOption(option=option, value=name, expected=", ".join(kinds))
        if not value:
            raise InvalidOption(option=option, value=name, expected=f"{name}=VALUE")
        try:
            found[name] = kind(value)
        except ValueError as error:
            raise InvalidOption(option=f"{option} {name}", value=value, expected=kind.__name__) from error
        low, high = TRAINING_LIMITS.get(name, (0, MAX_INT32))
        if kind is not str and not low <= found[name] <= high:
            raise InvalidOption(option=f"{option} {name}", value=value, expected=f"from {low:g} to {high:g}")
    return TrainingOptions(**found) if found else None
