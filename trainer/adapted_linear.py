"""Linear layers W with the A and B of the adapter whose row it is: y = W x + s B A x of each row x, and its gradients.

    h = s A x;  y = W x + B h.  dh = s Bᵀ dy;  dx = Wᵀ dy + Aᵀ dh;  dA = dh xᵀ;  dB = dy hᵀ

The layers of a group are members: each has its own part of A, h, B and y.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer.frozen import Group
from trainer.lora import Adapted
from trainer.tile_products import Panels


@dataclass(frozen=True, slots=True)
class Share:
    """One adapter's part in a group of linear layers: the rows that are its own, its weights, and their gradients."""

    rows: slice
    lora: Adapted
    gradient: Adapted
    scaling: float


def adapted_linear(x: Tensor, group: Group, shares: Sequence[Share]) -> Tensor:
    """x [T, d_in] → y [T, d_out]. The backward pass adds to the gradients that the shares hold."""
    if group.panels:
        on_tiles: Tensor = _OnTiles.apply(x, group.panels, group.bias, shares)  # type: ignore[no-untyped-call]
        return on_tiles
    y: Tensor = _ByProducts.apply(x, group, shares)  # type: ignore[no-untyped-call]
    return y


class _OnTiles(torch.autograd.Function):
    """By `tile_products`, a call for each share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, panels: Panels, bias: Tensor | None, shares: Sequence[Share]) -> Tensor:
        y = x.new_empty(len(x), len(shares[0].lora.b))
        hidden = []
        for share in shares:
            own, lora = share.rows, share.lora
            hidden.append(panels.forward(x[own], bias, lora.a, lora.b, share.scaling, y[own]))
        ctx.save_for_backward(x, *hidden)
        ctx.panels, ctx.shares = panels, shares
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None]:
        x, *hidden = ctx.saved_tensors
        dy, dx = dy.contiguous(), torch.empty_like(x)
        for share, h in zip(ctx.shares, hidden, strict=True):
            own, lora, gradient = share.rows, share.lora, share.gradient
            of_rows, factors = (dy[own], x[own], h, dx[own]), (lora.a, lora.b, gradient.a, gradient.b)
            ctx.panels.backward(*of_rows, *factors, share.scaling)
        return dx, None, None, None


class _ByProducts(torch.autograd.Function):
    """Products of torch's, the delta's first, so that the sum is rounded once, behind an fp32 accumulator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, shares: Sequence[Share]) -> Tensor:
        y = x.new_empty(len(x), len(group.weight))
        hidden = []
        for share in shares:
            own, of_members = x[share.rows], share.lora.b.split(group.outputs)
            h = x.new_empty(len(own), len(share.lora.a))
            torch.addmm(h, own, share.lora.a.t(), beta=0, alpha=share.scaling, out=h)
            members = zip(h.chunk(len(of_members), 1), of_members, y[share.rows].split(group.outputs, 1), strict=True)
            for h_of, b_of, y_of in members:
                torch.mm(h_of, b_of.t(), out=y_of)
            hidden.append(h)
        y.addmm_(x, group.weight.t())
        if group.bias is not None:
            y += group.bias
        ctx.save_for_backward(x, *hidden)
        ctx.group, ctx.shares = group, shares
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        x, *hidden = ctx.saved_tensors
        outputs, dx = ctx.group.outputs, torch.empty_like(x)
        for share, h in zip(ctx.shares, hidden, strict=True):
            b, db, members = share.lora.b.split(outputs), share.gradient.b.split(outputs), len(outputs)
            dh = torch.empty_like(h)
            of_members = (dh.chunk(members, 1), h.chunk(members, 1), b, db, dy[share.rows].split(outputs, 1))
            for dh_of, h_of, b_of, db_of, dy_of in zip(*of_members, strict=True):
                torch.addmm(dh_of, dy_of, b_of, beta=0, alpha=share.scaling, out=dh_of)
                db_of.addmm_(dy_of.t(), h_of)
            share.gradient.a.addmm_(dh.t(), x[share.rows])
            torch.mm(dh, share.lora.a, out=dx[share.rows])
        dx.addmm_(dy, ctx.group.weight)
        return dx, None, None
