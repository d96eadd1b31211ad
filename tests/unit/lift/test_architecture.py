"""docs/architecture.md names the modules that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ANYWHERE = {"__init__", "testing"}


def in_folders(package: str) -> set[str]:
    return {file.stem for file in (ROOT / package).rglob("*.py")} - ANYWHERE


def in_table(package: str) -> set[str]:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split(f"\n| {package}/ | |\n", 1)[1].split("\n\n", 1)[0]
    lists = [row.split("|")[2] for row in table.splitlines()]
    return {name for row in lists for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("package", ["trainer", "generator", "server"])
def test_every_module_has_its_place_on_the_map(package):
    assert in_table(package) == in_folders(package)
