"""Turns the text of command-line options into values. InvalidOption: one cannot be used."""

import os

from evals.judge import Judge
from lift.errors import InvalidOption


def judge_of(url: str, model: str) -> Judge | None:
    """The judge at an endpoint, with the key of LIFT_JUDGE_KEY; None where neither is given."""
    if bool(url) != bool(model):
        raise InvalidOption(option="judge-model" if url else "judge-url", expected="both or none")
    return Judge(url=url, model=model, key=os.environ.get("LIFT_JUDGE_KEY", "")) if url else None
