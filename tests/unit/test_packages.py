"""Our packages have plain top-level names; nothing that we depend on may bring the same."""

from importlib.metadata import packages_distributions

import pytest

OURS = ["lift", "server", "trainer", "generator", "storage", "evals", "benchmarks"]


@pytest.mark.parametrize("package", OURS)
def test_no_dependency_takes_our_package_name(package: str) -> None:
    assert packages_distributions().get(package, ["lift-server"]) == ["lift-server"]
