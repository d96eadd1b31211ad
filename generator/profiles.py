"""Turns a request's profile or own prompt into the prompt of a strategy, and fills prompts in.

Prompts are the files `prompts/{strategy}/{profile}.txt`. In them {title}, {window}, {sentence} and the like are places
to be filled; other braces stand for themselves.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lift.errors import InvalidOption

MAX_PROMPT_CHARACTERS = 20_000
PAIRS_PER_SENTENCE = {
    "sentence": {"general": 10, "thorough": 20, "single-fact": 5, "needle": 2},
    # many short ones: what a small model learns from
    "grounded": {"general": 40, "thorough": 50, "single-fact": 16, "needle": 3},
}
QUESTIONS_PER_ANSWER = {"general": 4, "thorough": 8, "single-fact": 2, "needle": 2}
PROMPTS = {"thorough": "general"}
"""Profiles that have another's prompts."""
MAX_PAIRS_PER_SENTENCE = 50

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
    profiles = PAIRS_PER_SENTENCE[strategy]
    if name not in profiles:
        raise InvalidOption(field="profile", value=name[:80], choices=", ".join(profiles))
    if not 0 <= pairs_per_sentence <= MAX_PAIRS_PER_SENTENCE:
        raise InvalidOption(field="pairs_per_sentence", value=pairs_per_sentence, maximum=MAX_PAIRS_PER_SENTENCE)
    if custom_prompt:
        _check(custom_prompt, required, allowed)
    return Profile(
        name=name,
        prompt=custom_prompt or prompt_file(strategy, PROMPTS.get(name, name)),
        pairs_per_sentence=pairs_per_sentence or profiles[name],
        questions_per_answer=QUESTIONS_PER_ANSWER[name],
    )


@cache
def prompt_file(strategy: str, name: str) -> str:
    """The text of a prompt file."""
    return (files("generator") / "prompts" / strategy / f"{name}.txt").read_text(encoding="utf-8").strip()


def filled(prompt: str, **values: str) -> str:
    """The prompt with each {name} replaced by its value; what the values hold is not filled in again."""
    return _PLACE.sub(lambda place: values.get(place.group(1), place.group()), prompt)


def _check(prompt: str, required: frozenset[str], allowed: frozenset[str]) -> None:
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise InvalidOption(field="custom_prompt", characters=len(prompt), maximum=MAX_PROMPT_CHARACTERS)
    places = set(_PLACE.findall(prompt))
    for missing in sorted(required - places):
        raise InvalidOption(field="custom_prompt", missing=f"{{{missing}}}")
    for unknown in sorted(places - allowed):
        raise InvalidOption(
            field="custom_prompt",
            unknown=f"{{{unknown[:40]}}}",
            choices=", ".join(f"{{{name}}}" for name in sorted(allowed)),
        )
