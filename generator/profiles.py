"""Turns a request's profile or own prompt into the prompt of a strategy, and fills prompts in.

Prompts are the files `prompts/{strategy}/{profile}.txt`. In them {title}, {window}, {sentence} and the like are places
to be filled; other braces stand for themselves.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lift.errors import InvalidOption
from lift.limits import MAX_CUSTOM_PROMPT_CHARACTERS, MAX_PAIRS_PER_SENTENCE

_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a strategy writes: by which prompt, and at most how many pairs a sentence.

    `questions_per_answer`: how many of those that an LLM asks about one answer strategy `grounded` keeps.
    """

    name: str
    prompt: str
    pairs_per_sentence: int
    questions_per_answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much a profile has written. `prompt`: whose it uses; `pairs`: at most so many a sentence, by strategy."""

    prompt: str
    pairs: Mapping[str, int]
    questions_per_answer: int


AMOUNTS = {  # strategy `grounded` writes many short ones: what a small model learns from
    "general": Amounts(prompt="general", pairs={"sentence": 10, "grounded": 40}, questions_per_answer=4),
    "thorough": Amounts(prompt="general", pairs={"sentence": 20, "grounded": 50}, questions_per_answer=8),
    "single-fact": Amounts(prompt="single-fact", pairs={"sentence": 5, "grounded": 16}, questions_per_answer=2),
    "needle": Amounts(prompt="needle", pairs={"sentence": 2, "grounded": 3}, questions_per_answer=2),
}


def chosen_profile(
    *,
    strategy: str,
    name: str,
    pairs_per_sentence: int,
    custom_prompt: str,
    required: frozenset[str],
    allowed: frozenset[str],
) -> Profile:
    """The profile of a request; empty name, 0 pairs and an empty prompt leave the choice to it. InvalidOption."""
    name = name or "general"
    if name not in AMOUNTS:
        raise InvalidOption(option="generation_profile", value=name[:80], expected=", ".join(AMOUNTS))
    if not 0 <= pairs_per_sentence <= MAX_PAIRS_PER_SENTENCE:
        expected = f"from 0 to {MAX_PAIRS_PER_SENTENCE}"
        raise InvalidOption(option="pairs_per_sentence", value=pairs_per_sentence, expected=expected)
    if custom_prompt:
        _check(custom_prompt, required, allowed)
    amounts = AMOUNTS[name]
    return Profile(
        name=name,
        prompt=custom_prompt or prompt_file(strategy, amounts.prompt),
        pairs_per_sentence=pairs_per_sentence or amounts.pairs[strategy],
        questions_per_answer=amounts.questions_per_answer,
    )


@cache
def prompt_file(strategy: str, name: str) -> str:
    """The text of a prompt file."""
    return (files("generator") / "prompts" / strategy / f"{name}.txt").read_text(encoding="utf-8").strip()


def filled(prompt: str, **values: str) -> str:
    """The prompt with each {name} replaced by its value; what the values hold is not filled in again."""
    return _PLACE.sub(lambda place: values.get(place.group(1), place.group()), prompt)


def _check(prompt: str, required: frozenset[str], allowed: frozenset[str]) -> None:
    if len(prompt) > MAX_CUSTOM_PROMPT_CHARACTERS:
        raise InvalidOption(option="custom_prompt", expected=f"at most {MAX_CUSTOM_PROMPT_CHARACTERS} characters")
    places = set(_PLACE.findall(prompt))
    for missing in sorted(required - places):
        raise InvalidOption(option="custom_prompt", missing=f"{{{missing}}}")
    for unknown in sorted(places - allowed):
        raise InvalidOption(
            option="custom_prompt",
            value=f"{{{unknown[:40]}}}",
            expected=", ".join(f"{{{name}}}" for name in sorted(allowed)),
        )
