"""Refuses ways to choose tokens that `lift.v1.Sampling` does not allow, in a gateway and again in an engine."""

import math
from collections.abc import Sequence

from lift.errors import InvalidOption

MAX_TEMPERATURE = 2.0
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 64


def check_sampling(temperature: float, top_p: float, stop: Sequence[str]) -> None:
    """InvalidOption: a value out of range."""
    if not (math.isfinite(temperature) and 0 <= temperature <= MAX_TEMPERATURE):
        raise InvalidOption(option="temperature", value=temperature, expected=f"from 0 to {MAX_TEMPERATURE:g}")
    if not (math.isfinite(top_p) and 0 < top_p <= 1):
        raise InvalidOption(option="top_p", value=top_p, expected="above 0, at most 1")
    if len(stop) > MAX_STOPS or not all(1 <= len(text) <= MAX_STOP_CHARACTERS for text in stop):
        expected = f"at most {MAX_STOPS} strings of 1 to {MAX_STOP_CHARACTERS} characters"
        raise InvalidOption(option="stop", expected=expected)
