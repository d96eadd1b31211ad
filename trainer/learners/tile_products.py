"""Adapted linear layers and their whiteners on a CPU's tiles, by tile_products.cpp.

Of a step's products those with A and B are many and small: a library prepares each call for longer than it computes.
Here a group of layers is one call, which adds B's product to W's before the sum is rounded, and reads W from panels
that are laid out once (docs/why.md).
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lift.native import TILE_SIDE
from trainer.learners.kernels import Kernels
from trainer.learners.padding import rounded_up
from trainer.learners.tiles import fit, tiles

FILE = "tile_products.cpp"


@dataclass(frozen=True, slots=True)
class Panels:
    """A frozen W [d_out, d_in] as tiles read it, for x Wᵀ and for dy W: twice its memory."""

    across: Tensor
    back: Tensor
    outputs: Tensor
    run: Kernels

    @classmethod
    def of(cls, weight: Tensor, outputs: tuple[int, ...]) -> Self | None:
        """Of layers one below the other; none where there are no tiles for them."""
        if not fit(weight, weight.shape[1], *outputs):
            return None
        run = tiles(FILE)
        return cls(_panels(weight), _panels(weight.t()), torch.tensor(outputs), run) if run else None

    def forward(  # noqa: PLR0917 - in the order of the equation's parts
        self, x: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float, y: Tensor
    ) -> Tensor:
        """h = s A x of rows x [T, d_in], each layer's rank rounded up; sets y = W x + B h, rounded once."""
        (rows, width), rank = x.shape, b.shape[1]
        h = x.new_empty(rows, len(self.outputs) * rounded_up(rank, TILE_SIDE))
        sizes = rows, width, self.outputs, len(self.outputs), rank
        self.run("adapted", x, self.across, bias, a, b, scaling, h, y, *sizes)
        return h

    def backward(  # noqa: PLR0917 - likewise
        self, dy: Tensor, x: Tensor, h: Tensor, dx: Tensor, a: Tensor, b: Tensor, da: Tensor, db: Tensor, scaling: float
    ) -> None:
        """Sets dx = Wᵀ dy + Aᵀ dh with dh = s Bᵀ dy; adds dh xᵀ to da and dy hᵀ to db."""
        sizes = *x.shape, self.outputs, len(self.outputs), b.shape[1]
        self.run("adapted_back", dy, x, h, self.back, a, b, scaling, da, db, dx, *sizes)


@dataclass(frozen=True, slots=True)
class Directions:
    """Directions D [d, k] and what is taken from each, as tiles read them, with zeros up to a multiple of 32."""

    into: Tensor
    out: Tensor
    losses: Tensor
    run: Kernels

    @classmethod
    def of(cls, directions: Tensor, losses: Tensor) -> Self | None:
        """None where there are no tiles for them."""
        if not fit(directions, directions.shape[0]):
            return None
        more = -len(losses) % TILE_SIDE
        whole = torch.nn.functional.pad(directions, (0, more))
        filled = torch.nn.functional.pad(losses.float(), (0, more))
        run = tiles(FILE)
        return cls(_panels(whole.t()), _panels(whole), filled, run) if run else None

    def taken_from(self, a: Tensor, scale: float) -> Tensor:
        """a [rows, d] → scale (a - ((a D) · losses) Dᵀ), in its memory."""
        self.run("without", a, self.into, self.out, self.losses, scale, *a.shape, len(self.losses))
        return a


def _panels(matrix: Tensor) -> Tensor:
    """Of its transpose: [n, k] → [n / 32, k / 32, 2 halves of the 32, 16 pairs of k, 16 of n, 2 of a pair]."""
    n, k = matrix.shape
    split = matrix.reshape(n // TILE_SIDE, 2, TILE_SIDE // 2, k // TILE_SIDE, TILE_SIDE // 2, 2)
    return split.permute(0, 3, 1, 4, 2, 5).contiguous()
