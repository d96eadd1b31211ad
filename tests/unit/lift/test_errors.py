"""The tree of errors is as it is drawn, and every branch has its gRPC status."""

import re

from lift import errors, status


def drawn() -> dict[str, tuple[str, set[str]]]:
    """Status and leaves of each branch of the tree in the docstring."""
    branches: dict[str, tuple[str, set[str]]] = {}
    branch = ""
    for line in str(errors.__doc__).splitlines():
        if begun := re.match(r"[├└]── (\w+) +([A-Z_]+)(.*)", line):
            branch, code, leaves = begun.groups()
            branches[branch] = code, set(re.findall(r"\w+", leaves))
        elif line.startswith("│"):
            branches[branch][1].update(re.findall(r"\w+", line))
    return branches


def test_facts_stay_in_their_order_on_the_wire() -> None:
    facts = dict.fromkeys(("option", "value", "expected", "adapter", "operation", "limit", "problem"), "one")
    assert list(status.from_proto(status.to_proto(errors.InvalidOption(**facts))).facts) == list(facts)


def test_the_tree_at_the_top_is_that_of_the_classes() -> None:
    def below(error: type[errors.LiftError]) -> list[type[errors.LiftError]]:
        return [found for found in error.__subclasses__() if found.__module__ == errors.__name__]

    classes = {
        branch.__name__: (status.CODES[branch].name, {leaf.__name__ for leaf in below(branch)})
        for branch in below(errors.LiftError)
    }
    assert drawn() == classes
