"""Turns the text of command-line options into values. InvalidOption: one cannot be used."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from evals.judge import Judge
from lift.errors import InvalidOption
from lift.values import TrainingOptions


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise InvalidOption(option=option, value=text, expected="whole numbers with commas between them") from error


def settings(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE as names and values."""
    return {name: value for name, _, value in (setting.partition("=") for setting in given)}


def training_options(given: Mapping[str, str]) -> TrainingOptions | None:
    """The training options of those names; None where there are none, which leaves all to the server."""
    kinds = {field.name: field.type for field in fields(TrainingOptions)}
    found: dict[str, Any] = {}
    for name, value in given.items():
        kind = next((kind for kind in (int, float, str) if kinds.get(name) == kind | None), None)
        if kind is None:
            raise InvalidOption(option="train", value=name, expected=", ".join(kinds))
        try:
            found[name] = kind(value)
        except ValueError as error:
            raise InvalidOption(option=f"train {name}", value=value, expected=kind.__name__) from error
    return TrainingOptions(**found) if found else None


def judge_of(url: str, model: str) -> Judge | None:
    """The judge at an endpoint, with the key of LIFT_JUDGE_KEY; None where neither is given."""
    if bool(url) != bool(model):
        raise InvalidOption(option="judge-model" if url else "judge-url", expected="both or none")
    return Judge(url=url, model=model, key=os.environ.get("LIFT_JUDGE_KEY", "")) if url else None
