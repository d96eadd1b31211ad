import pytest

from benchmarks.spread import percentile, spread


def test_a_spread_is_median_least_and_greatest():
    assert spread([3, 1, 2]) == {"median": 2, "low": 1, "high": 3}
    assert spread([0.123456], 3) == {"median": 0.123, "low": 0.123, "high": 0.123}


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2.5), (99, 3.97), (100, 4)])
def test_a_percentile_lies_between_its_neighbours(percent, value):
    assert percentile([4, 1, 3, 2], percent) == pytest.approx(value)


def test_every_percentile_of_one_value_is_that_value():
    assert percentile([7.0], 99) == 7.0
