"""What the gateway lets through is what generator and trainer take."""

import pytest

from generator.llm import Endpoint
from generator.profiles import AMOUNTS
from generator.strategies import strategy_of_request
from lift import limits
from lift.errors import InvalidOption
from lift.internal.v1.generator_pb2 import GenerateRequest
from lift.settings import GeneratorSettings
from server.gateway import checks
from trainer.profiles import PROFILES, hyperparameters


def test_the_profiles_are_the_trainers_and_the_generators():
    assert set(limits.TRAINING_PROFILES) == set(PROFILES)
    assert set(limits.GENERATION_PROFILES) == set(AMOUNTS)


def by_gateway(options):
    checks.training_options(options, 64)


def by_trainer(options):
    hyperparameters(options, "paper", 64)


def by_generator(options):
    strategy_of_request(GenerateRequest(**options), endpoint=Endpoint(GeneratorSettings()), default="sentence")


@pytest.mark.parametrize("taken_by", [by_gateway, by_generator])
def test_what_is_asked_of_the_generator_has_its_limits(taken_by):
    for strategy in limits.STRATEGIES:
        taken_by({"strategy": strategy})
    taken_by({"pairs_per_sentence": limits.MAX_PAIRS_PER_SENTENCE})
    taken_by({"custom_prompt": "{sentence}".ljust(limits.MAX_CUSTOM_PROMPT_CHARACTERS)})
    for wrong in (
        {"strategy": "sections"},
        {"pairs_per_sentence": limits.MAX_PAIRS_PER_SENTENCE + 1},
        {"custom_prompt": "{sentence}".ljust(limits.MAX_CUSTOM_PROMPT_CHARACTERS + 1)},
    ):
        with pytest.raises(InvalidOption):
            taken_by(wrong)


@pytest.mark.parametrize("taken_by", [by_gateway, by_trainer])
@pytest.mark.parametrize("option", ["alpha", "learning_rate", "epochs", "batch_size", "seed", "shrink_epsilon"])
def test_the_limits_are_the_trainers(taken_by, option):
    low, high = checks.LIMITS[option]
    kind = float if option in {"alpha", "learning_rate", "shrink_epsilon"} else int
    for value in (low, high):
        taken_by({option: kind(value)})
    for value in (low - 1, high * 2):
        with pytest.raises(InvalidOption):
            taken_by({option: kind(value)})


@pytest.mark.parametrize("taken_by", [by_gateway, by_trainer])
def test_the_ranks_are_the_trainers(taken_by):
    for rank in (8, 16, 32, 64):
        taken_by({"rank": rank})
    for rank in (0, 7, 128, 256, 512):
        with pytest.raises(InvalidOption):
            taken_by({"rank": rank})


def test_nothing_set_is_nothing_refused():
    assert checks.training_options({}, 8) == {}
