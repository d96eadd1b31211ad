"""Lays examples out so that what several of them begin with is computed once.

A causal model's state at a token depends on the tokens up to it and on nothing else. So the examples of an adapter
form a prefix tree, and every layer needs one row per node of it, however many examples run through that node. Questions
about one document share much: the template's beginning, and how questions begin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor

from trainer.batches import Example
from trainer.expectations import expectations


@dataclass(frozen=True, kw_only=True)
class Forest:
    """The examples of several adapters: a prefix tree for each, of T nodes in all, and B sequences of L places.

    tokens, positions [T]: of each node. nodes [B, L]: the node at each place; those behind a sequence's end repeat its
    last node, which causal attention never shows to the places before. places [T]: the place (b·L + l) where a node's
    attention is computed. shared [S] and sharing [S]: nodes that stand in further places, and those places. answers
    [T_a]: nodes that predict an answer token; targets, chances [T_a, K]: what is expected there (`expectations`). trees
    and tree_answers: of each adapter, the nodes that are its own, and its part of `answers`.
    """

    tokens: Tensor
    positions: Tensor
    nodes: Tensor
    places: Tensor
    shared: Tensor
    sharing: Tensor
    answers: Tensor
    targets: Tensor
    chances: Tensor
    trees: tuple[slice, ...]
    tree_answers: tuple[slice, ...]

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)  # type: ignore[arg-type]  # the tuples stay


def forest(trees: Sequence[Sequence[Example]]) -> Forest:
    """The prefix trees of the examples of each adapter; none is empty."""
    width = max(len(example.tokens) for examples in trees for example in examples)
    grown = _Growing(width)
    node_ends, answer_ends = [0], [0]
    for examples in trees:
        grown.begin_tree()
        for example in examples:
            grown.add(example)
        node_ends.append(len(grown.tokens))
        answer_ends.append(len(grown.answers))
    targets, chances = expectations(example for examples in trees for example in examples)
    return Forest(
        tokens=torch.tensor(grown.tokens),
        positions=torch.tensor(grown.positions),
        nodes=torch.tensor(grown.rows),
        places=torch.tensor(grown.places),
        shared=torch.tensor(grown.shared, dtype=torch.long),
        sharing=torch.tensor(grown.sharing, dtype=torch.long),
        answers=torch.tensor(grown.answers),
        targets=targets,
        chances=chances,
        trees=tuple(slice(*ends) for ends in pairwise(node_ends)),
        tree_answers=tuple(slice(*ends) for ends in pairwise(answer_ends)),
    )


class _Growing:
    """Lists of numbers that become a forest."""

    def __init__(self, width: int) -> None:
        self._width = width
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.rows: list[list[int]] = []
        self.places: list[int] = []
        self.shared: list[int] = []
        self.sharing: list[int] = []
        self.answers: list[int] = []

    def begin_tree(self) -> None:
        """From here on nothing is shared with what came before."""
        self._known: dict[tuple[int, int], int] = {}

    def add(self, example: Example) -> None:
        """One more sequence."""
        row: list[int] = []
        for position, token in enumerate(example.tokens):
            place = len(self.rows) * self._width + position
            node = self._known.setdefault((row[-1] if row else -1, token), len(self.tokens))
            if node == len(self.tokens):
                self.tokens.append(token)
                self.positions.append(position)
                self.places.append(place)
            else:
                self.shared.append(node)
                self.sharing.append(place)
            row.append(node)
        self.answers += row[example.answer_start - 1 : -1]
        self.rows.append(row + row[-1:] * (self._width - len(row)))
