"""Lays examples out so that what several of them begin with is computed once.

A causal model's state at a token depends on the tokens up to it and on nothing else. So the examples of a step form a
prefix tree, and every layer needs one row per node of it, however many examples run through that node. Questions about
one document share much: the template's beginning, and how questions begin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from trainer.batches import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Examples as a prefix tree of T nodes, and as B sequences of L places for attention.

    tokens, positions [T]: of each node. nodes [B, L]: the node at each place; those behind a sequence's end repeat its
    last node, which causal attention never shows to the places before. places [T]: the place (b·L + l) where a node's
    attention is computed. shared [S] and sharing [S]: nodes that stand in further places, and those places. answers
    [T_a]: nodes that predict an answer token; targets [T_a]: that token.
    """

    tokens: Tensor
    positions: Tensor
    nodes: Tensor
    places: Tensor
    shared: Tensor
    sharing: Tensor
    answers: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def tree(examples: Sequence[Example]) -> Tree:
    """The prefix tree of at least one example."""
    known: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    positions: list[int] = []
    places: list[int] = []
    shared: list[int] = []
    sharing: list[int] = []
    answers: list[int] = []
    targets: list[int] = []
    width = max(len(example.tokens) for example in examples)
    rows: list[list[int]] = []
    for number, example in enumerate(examples):
        row: list[int] = []
        parent = -1
        for position, token in enumerate(example.tokens):
            place = number * width + position
            node = known.setdefault((parent, token), len(tokens))
            if node == len(tokens):
                tokens.append(token)
                positions.append(position)
                places.append(place)
            else:
                shared.append(node)
                sharing.append(place)
            row.append(node)
            parent = node
        answers += row[example.answer_start - 1 : -1]
        targets += example.tokens[example.answer_start :]
        rows.append(row + row[-1:] * (width - len(row)))
    return Tree(
        tokens=torch.tensor(tokens),
        positions=torch.tensor(positions),
        nodes=torch.tensor(rows),
        places=torch.tensor(places),
        shared=torch.tensor(shared, dtype=torch.long),
        sharing=torch.tensor(sharing, dtype=torch.long),
        answers=torch.tensor(answers),
        targets=torch.tensor(targets),
    )
