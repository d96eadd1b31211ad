"""`lift bench catalogue` on a small one."""

import pytest

from benchmarks.catalogue import Plan, bench_catalogue
from benchmarks.growth import of_catalogue
from lift.errors import InvalidOption


def test_every_call_is_measured_at_each_size():
    said = []
    found = bench_catalogue(Plan(adapters=(30, 10), calls=2, say=said.append))
    assert list(found["adapters"]) == ["10", "30"]
    for calls in found["adapters"].values():
        assert calls.keys() == {"get", "list", "revisions", "create"}
        assert all(0 < call["p50"] <= call["p99"] for call in calls.values())
    assert len(said) == 2
    assert [x for x, _ in of_catalogue(found).lines["get"]] == [10, 30]


@pytest.mark.parametrize("wrong", [(), (0,), (10**7,)])
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidOption):
        Plan(adapters=wrong, say=print)
