"""Turns the text of command-line options into values. InvalidOption: one cannot be used."""

import os

from evals.judge import Judge
from lift.errors import InvalidOption


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise InvalidOption(option=option, value=text, expected="whole numbers with commas between them") from error


def judge_of(url: str, model: str) -> Judge | None:
    """The judge at an endpoint, with the key of LIFT_JUDGE_KEY; None where neither is given."""
    if bool(url) != bool(model):
        raise InvalidOption(option="judge-model" if url else "judge-url", expected="both or none")
    return Judge(url=url, model=model, key=os.environ.get("LIFT_JUDGE_KEY", "")) if url else None
