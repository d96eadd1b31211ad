"""Intervals against published and hand-worked values."""

import pytest

from evals.intervals import bootstrap, proportion


def test_wilson_of_17_of_25_is_as_published_formulas_have_it():
    found = proportion([1.0] * 17 + [0.0] * 8)
    assert (found.mean, found.low, found.high) == (
        0.68,
        pytest.approx(0.4841, abs=1e-4),
        pytest.approx(0.8279, abs=1e-4),
    )


def test_wilson_stays_inside_its_bounds():
    assert proportion([0.0] * 10).low == 0
    assert proportion([0.0] * 10).high == pytest.approx(0.2775, abs=1e-4)
    assert proportion([1.0] * 10).high == 1


def test_the_bootstrap_is_seeded_and_holds_the_mean():
    scores = [0.0, 0.5, 1.0, 1.0, 0.25] * 10
    first, second = bootstrap(scores), bootstrap(scores)
    assert first == second
    assert first.mean == pytest.approx(0.55)
    assert first.low < first.mean < first.high
    assert first.high - first.low == pytest.approx(2 * 1.96 * 0.4 / 50**0.5, rel=0.15)  # deviation 0.4
