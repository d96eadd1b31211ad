"""Lays examples out so that what several of them begin with is computed once.

A causal model's state at a token depends on the tokens up to it and on nothing else. So the examples of an adapter
form a prefix tree, and every layer needs one row per node of it, however many examples run through that node. Questions
about one document share much: the template's beginning, and how questions begin.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor

from trainer.examples.batches import Example
from trainer.examples.expectations import expectations
from trainer.learners.padding import rounded_up
from trainer.learners.placement import sent


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a forest's sizes are rounded up to, so that forests have few different ones: each gives the next one."""

    places: Callable[[int], int]
    nodes: Callable[[int], int]
    others: Callable[[int], int]


def _power(number: int) -> int:
    """The next power of two, at least 32."""
    return 1 << max(5, (number - 1).bit_length())


def _grid(number: int) -> int:
    """The next multiple of an eighth of the power of two below, or of 128: that adds 6 % to many nodes.

    A GPU needs hardly longer for 128 nodes than for one, since it reads all weights for either.
    """
    return rounded_up(number, max(128, (1 << number.bit_length() - 1) // 8))


def _multiple(step: int) -> Callable[[int], int]:
    return lambda number: rounded_up(number, step)


ON_GPU = Sizes(places=_multiple(16), nodes=_grid, others=_power)
ON_CPU = Sizes(places=_multiple(8), nodes=_multiple(64), others=_multiple(32))
"""oneDNN makes a kernel for each size of a product, and glibc finds no memory again where each buffer has its own size:
together that took a quarter of a step (docs/why.md)."""


@dataclass(frozen=True, kw_only=True)
class Forest:
    """The examples of several adapters: a prefix tree for each, of T nodes in all, and B sequences of L places.

    tokens, positions [T]: of each node. nodes [B, L]: the node at each place; those behind a sequence's end repeat its
    last node, which causal attention never shows to the places before. lengths [B]: of each sequence, up to its end.
    places [T]: the place (b·L + l) where a node's attention is computed. shared [S] and sharing [S]: nodes that stand
    in further places, and those places. answers [T_a]: nodes that predict an answer token; targets, chances [T_a, K]:
    what is expected there (`expectations`); weights [T_a]: what its loss counts for. trees and tree_answers: of each
    adapter, the nodes that are its own, and its part of `answers`.
    """

    tokens: Tensor
    positions: Tensor
    nodes: Tensor
    lengths: Tensor
    places: Tensor
    shared: Tensor
    sharing: Tensor
    answers: Tensor
    targets: Tensor
    chances: Tensor
    weights: Tensor
    trees: tuple[slice, ...]
    tree_answers: tuple[slice, ...]

    def tensors(self) -> dict[str, Tensor]:
        """All but the slices, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return replace(self, **{name: sent(value, device) for name, value in self.tensors().items()})  # type: ignore[arg-type]  # the slices stay

    def padded(self, sizes: Sizes) -> Self:
        """The same with sizes rounded up.

        What is added is no part of any example, counts for nothing and has gradients of zero: the last sequence gets a
        place of no node, the last of all, where all nodes and places that are added belong. They are the last
        adapter's, as it is.
        """
        (count, width), nodes, answers = self.nodes.shape, len(self.tokens), len(self.answers)
        wide, more_nodes = sizes.places(width + 1), sizes.nodes(nodes + 1) - nodes
        more_answers, more_shared = (sizes.others(number) - number for number in (answers, len(self.shared)))
        last = self.nodes[:, -1:].expand(count, wide - width)
        moved = [places // width * wide + places % width for places in (self.places, self.sharing)]
        nowhere = count * wide - 1
        ends = nodes + more_nodes, answers + more_answers
        return replace(
            self,
            tokens=_longer(self.tokens, more_nodes),
            positions=_longer(self.positions, more_nodes),
            nodes=torch.cat((self.nodes, last), 1),
            lengths=torch.cat((self.lengths[:-1], self.lengths[-1:] + 1)),
            places=_longer(moved[0], more_nodes, nowhere),
            shared=_longer(self.shared, more_shared, ends[0] - 1),
            sharing=_longer(moved[1], more_shared, nowhere),
            answers=_longer(self.answers, more_answers, ends[0] - 1),
            targets=_longer(self.targets, more_answers),
            chances=_longer(self.chances, more_answers),
            weights=_longer(self.weights, more_answers),
            trees=(*self.trees[:-1], slice(self.trees[-1].start, ends[0])),
            tree_answers=(*self.tree_answers[:-1], slice(self.tree_answers[-1].start, ends[1])),
        )


def forest(trees: Sequence[tuple[Sequence[Example], float]]) -> Forest:
    """The prefix trees of the examples of each adapter, none empty, and what the mean of their losses counts for."""
    width = max(len(example.tokens) for examples, _ in trees for example in examples)
    grown = _Growing(width)
    node_ends, answer_ends = [0], [0]
    weights: list[float] = []
    for examples, share in trees:
        grown.begin_tree()
        for example in examples:
            grown.add(example)
        node_ends.append(len(grown.tokens))
        answer_ends.append(len(grown.answers))
        tokens = answer_ends[-1] - answer_ends[-2]
        weights += [share / tokens] * tokens
    targets, chances = expectations(example for examples, _ in trees for example in examples)
    return Forest(
        tokens=torch.tensor(grown.tokens),
        positions=torch.tensor(grown.positions),
        nodes=torch.tensor(grown.rows),
        lengths=torch.tensor([len(example.tokens) for examples, _ in trees for example in examples]),
        places=torch.tensor(grown.places),
        shared=torch.tensor(grown.shared, dtype=torch.long),
        sharing=torch.tensor(grown.sharing, dtype=torch.long),
        answers=torch.tensor(grown.answers),
        targets=targets,
        chances=chances,
        weights=torch.tensor(weights),
        trees=tuple(slice(*ends) for ends in pairwise(node_ends)),
        tree_answers=tuple(slice(*ends) for ends in pairwise(answer_ends)),
    )


def _longer(tensor: Tensor, more: int, value: int = 0) -> Tensor:
    """The tensor with so many rows more."""
    return torch.cat((tensor, tensor.new_full((more, *tensor.shape[1:]), value)))


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
