"""Says where the nodes of a forest stand while the kernels compute attention: its sequences, one behind the other."""

import math

import torch
from torch import Tensor

from lift.native import TILE_SIDE
from trainer.learners.frozen import FrozenModel, Turns
from trainer.learners.prefixes import Forest
from trainer.learners.tiles import fit, tiles


class Layout:
    """Where the nodes of a forest stand, and how they are turned.

    Sequences lie one behind the other, P places in all: as long as they are where there are tiles, and as the longest
    where torch's products, which take one size, compute attention.
    """

    def __init__(self, base: FrozenModel, grown: Forest, turns: Turns) -> None:
        self.turns = tuple(turn.contiguous() for turn in turns)
        self.heads, self.key_heads, self.size, self.epsilon = base.heads, base.key_heads, base.head_size, base.epsilon
        self.tiles = tiles("tile_attention.cpp") if fit(base.embedding, base.head_size) else None
        self.count, self.width = grown.nodes.shape
        lengths = grown.lengths if self.tiles else torch.full_like(grown.lengths, self.width)
        self.starts = _starts(lengths)
        self.sequences = torch.arange(self.count).repeat_interleave(lengths)
        self.nodes = grown.nodes[torch.arange(self.width) < lengths.unsqueeze(1)]
        self.first_chances = _starts(self._chances(lengths))
        self.places, sharing = (self._moved(places, lengths) for places in (grown.places, grown.sharing))
        own = torch.arange(len(self.places))
        self.owners = own.new_full((len(self.nodes),), -1)
        self.owners[self.places] = own
        standing, order = torch.cat((own, grown.shared)).sort(stable=True)
        self.firsts = torch.searchsorted(standing, torch.arange(len(own) + 1))
        self.standing = torch.cat((self.places, sharing))[order]

    def _chances(self, lengths: Tensor) -> Tensor:
        """How many chances tiles have of each sequence: rows and columns of products up to multiples of 32."""
        queries = self.heads // self.key_heads * lengths
        rows, columns = (-(-number // TILE_SIDE) * TILE_SIDE for number in (queries, lengths))
        return self.key_heads * rows * columns

    def _moved(self, places: Tensor, lengths: Tensor) -> Tensor:
        """Places of the forest as those here; the one of no node, behind the last sequence's, is the last."""
        sequences = places // self.width
        return self.starts[sequences] + torch.minimum(places % self.width, lengths[sequences] - 1)

    @property
    def where(self) -> tuple[Tensor, Tensor]:
        """The first place of each sequence and of what is behind the last; the sequence of each place."""
        return self.starts, self.sequences

    @property
    def scale(self) -> float:
        """Of scores."""
        return 1 / math.sqrt(self.size)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Heads of queries, heads of keys, numbers of each."""
        return self.heads, self.key_heads, self.size


def _starts(sizes: Tensor) -> Tensor:
    """Where each of some pieces begins that lie one behind the other, and where the last ends."""
    return torch.cat((sizes.new_zeros(1), sizes.cumsum(0)))
