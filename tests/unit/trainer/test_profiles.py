import pytest

from lift.errors import InvalidOption
from trainer.profiles import PROFILES, Hyperparameters, hyperparameters


def test_the_default_is_the_papers_setting_for_loogle():
    assert hyperparameters({}, "paper", 128) == Hyperparameters(
        rank=128, alpha=256, learning_rate=5e-5, epochs=5, batch_size=4
    )


@pytest.mark.parametrize(
    ("profile", "learning_rate", "epochs"),
    [
        ("llama3-squad", 5e-5, 5),
        ("llama3-niah", 1e-4, 8),
        ("llama3-loogle", 5e-5, 5),
        ("gemma2", 1e-3, 5),
        ("qwen3", 5e-5, 5),
    ],
)
def test_profiles_have_the_learning_rates_and_epochs_of_tables_5_and_6(profile, learning_rate, epochs):
    chosen = hyperparameters({"training_profile": profile}, "embedded", 128)
    assert (chosen.rank, chosen.learning_rate, chosen.epochs) == (128, learning_rate, epochs)


def test_options_that_are_set_replace_the_profiles():
    options = {"rank": 8, "alpha": 4.0, "learning_rate": 2e-4, "epochs": 2, "batch_size": 3, "seed": 7}
    chosen = hyperparameters(options, "paper", 128)
    assert {name: getattr(chosen, name) for name in options} == options
    assert chosen.clip_norm == PROFILES["paper"].clip_norm


def test_a_smaller_rank_keeps_the_alpha_of_the_profile():
    chosen = hyperparameters({"rank": 16}, "paper", 128)
    assert (chosen.alpha, chosen.scaling) == (256.0, 16.0)


def test_a_profiles_rank_is_brought_down_to_what_the_engine_takes():
    chosen = hyperparameters({}, "paper", 64)
    assert (chosen.rank, chosen.alpha) == (64, 256.0)


@pytest.mark.parametrize(
    "options",
    [
        {"training_profile": "fast"},
        {"rank": 12},
        {"rank": 256},
        {"alpha": 0},
        {"alpha": "2"},
        {"learning_rate": -1e-3},
        {"learning_rate": float("nan")},
        {"epochs": 0},
        {"epochs": True},
        {"batch_size": 100_000},
        {"seed": -1},
    ],
)
def test_a_value_that_cannot_be_used_is_an_invalid_option_that_names_itself(options):
    with pytest.raises(InvalidOption) as caught:
        hyperparameters(options, "paper", 128)
    assert caught.value.facts["option"] in options


def test_options_about_question_writing_are_passed_over():
    assert hyperparameters({"strategy": "grounded", "pairs_per_sentence": 3}, "paper", 128) == PROFILES["paper"]


def test_the_learning_rate_rises_during_warm_up_and_then_stays():
    chosen = Hyperparameters(learning_rate=1.0, warmup_steps=4)
    assert [chosen.learning_rate_at(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("decay", [True, False])
def test_a_step_has_what_is_left_of_the_rate(decay):
    assert Hyperparameters(learning_rate=1.0, decay=decay).learning_rate_at(50, left=0.25) == 0.25


def test_the_rate_falls_over_the_epochs_where_that_is_asked_for():
    assert [Hyperparameters(decay=True).left_after(share) for share in (0.0, 0.75)] == [1.0, 0.25]
    assert [Hyperparameters().left_after(share) for share in (0.0, 0.75)] == [1.0, 1.0]


@pytest.mark.parametrize("epsilon", [-0.1, 11, float("nan"), "small"])
def test_what_shrinking_may_cost_is_a_small_loss(epsilon):
    assert hyperparameters({"shrink_epsilon": 0.02}, "paper", 128).shrink_epsilon == 0.02
    with pytest.raises(InvalidOption, match="shrink_epsilon"):
        hyperparameters({"shrink_epsilon": epsilon}, "paper", 128)
