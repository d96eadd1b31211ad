"""Refuses values that nothing behind the gateway could use, before anything is written. No torch, no model."""

from collections.abc import Mapping
from typing import Any

from lift.errors import InvalidOption
from lift.limits import (
    GENERATION_PROFILES,
    MAX_CUSTOM_PROMPT_CHARACTERS,
    MAX_PAIRS_PER_SENTENCE,
    RANKS,
    STRATEGIES,
    TRAINING_LIMITS,
    TRAINING_PROFILES,
)

LIMITS: Mapping[str, tuple[float, float]] = {"pairs_per_sentence": (1, MAX_PAIRS_PER_SENTENCE), **TRAINING_LIMITS}
"""Smallest and largest value of each numeric training option."""


def training_options(options: Mapping[str, Any], max_rank: int) -> Mapping[str, Any]:
    """The options themselves, where a trainer will take them; max_rank is the engines'. InvalidOption."""
    for option, known in (
        ("generation_profile", GENERATION_PROFILES),
        ("strategy", STRATEGIES),
        ("training_profile", TRAINING_PROFILES),
        ("rank", tuple(rank for rank in RANKS if rank <= max_rank)),
    ):
        if option in options and options[option] not in known:
            raise _invalid(option, options[option], ", ".join(map(str, known)))
    for option, (low, high) in LIMITS.items():
        if option in options and not low <= options[option] <= high:
            raise _invalid(option, options[option], f"from {low:g} to {high:g}")
    if len(options.get("custom_prompt", "")) > MAX_CUSTOM_PROMPT_CHARACTERS:
        raise InvalidOption(option="custom_prompt", expected=f"at most {MAX_CUSTOM_PROMPT_CHARACTERS} characters")
    return options


def _invalid(option: str, value: object, expected: str) -> InvalidOption:
    return InvalidOption(option=option, value=str(value)[:80], expected=expected)
