"""Profiles and prompts."""

from pathlib import Path

import pytest

from generator.profiles import AMOUNTS, Profile, chosen_profile, filled, prompt_file
from lift.errors import InvalidOption


def chosen(name: str = "", pairs: int = 0, prompt: str = "") -> Profile:
    """A profile of the sentence strategy."""
    return chosen_profile(
        strategy="sentence",
        name=name,
        pairs_per_sentence=pairs,
        custom_prompt=prompt,
        required=frozenset({"sentence"}),
        allowed=frozenset({"sentence", "window"}),
    )


@pytest.mark.parametrize("strategy", AMOUNTS["general"].pairs)
@pytest.mark.parametrize("name", ["general", "single-fact", "needle"])
def test_every_strategy_has_a_prompt_for_every_profile(strategy, name):
    assert "{sentence}" in prompt_file(strategy, name)


@pytest.mark.parametrize("strategy", AMOUNTS["general"].pairs)
def test_the_thorough_profile_asks_more_by_the_general_ones_prompt(strategy):
    thorough, general = (
        chosen_profile(
            strategy=strategy,
            name=name,
            pairs_per_sentence=0,
            custom_prompt="",
            required=frozenset(),
            allowed=frozenset(),
        )
        for name in ("thorough", "general")
    )
    assert thorough.prompt == general.prompt
    assert thorough.pairs_per_sentence > general.pairs_per_sentence
    assert thorough.questions_per_answer > general.questions_per_answer


def test_nothing_chosen_is_the_general_profile():
    assert chosen() == chosen(name="general")
    assert chosen().pairs_per_sentence == AMOUNTS["general"].pairs["sentence"]


def test_an_own_prompt_replaces_the_profiles_and_may_hold_other_braces():
    assert chosen(prompt='About {sentence}, as {"a": 1}').prompt == 'About {sentence}, as {"a": 1}'


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"name": "special"}, "generation_profile"),
        ({"pairs": -1}, "pairs_per_sentence"),
        ({"pairs": 51}, "pairs_per_sentence"),
        ({"prompt": "Ask something."}, "custom_prompt"),
        ({"prompt": "{sentence} {document}"}, "custom_prompt"),
        ({"prompt": "{sentence}" + "x" * 20_000}, "custom_prompt"),
    ],
)
def test_options_that_cannot_be_used_are_refused_by_the_names_that_tenants_give_them(options, option):
    with pytest.raises(InvalidOption) as refused:
        chosen(**options)
    assert refused.value.facts["option"] == option


def test_what_is_filled_in_is_not_filled_in_again():
    assert filled("{a} {b} {c}", a="{b}", b="1") == "{b} 1 {c}"


def test_prompts_lie_inside_the_package_that_the_wheel_ships():
    package = Path(__file__).parents[3] / "generator"
    assert {path.suffix for path in (package / "prompts").glob("*/*")} == {".txt"}
