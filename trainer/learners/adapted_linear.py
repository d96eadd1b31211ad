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

from trainer.learners.frozen import Group
from trainer.learners.lora import Adapted
from trainer.learners.tile_products import Panels


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one adapter in a group of linear layers: where they are, its weights there, and their gradients."""

    at: slice
    lora: Adapted
    gradient: Adapted
    scaling: float


def adapted_linear(x: Tensor, group: Group, parts: Sequence[Rows]) -> Tensor:
    """x [T, d_in] → y [T, d_out]. The backward pass adds to the gradients that the parts hold."""
    if group.panels:
        on_tiles: Tensor = _OnTiles.apply(x, group.panels, group.bias, parts)  # type: ignore[no-untyped-call]
        return on_tiles
    y: Tensor = _ByProducts.apply(x, group, parts)  # type: ignore[no-untyped-call]
    return y


class _OnTiles(torch.autograd.Function):
    """By `tile_products`, a call for each part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, panels: Panels, bias: Tensor | None, parts: Sequence[Rows]) -> Tensor:
        y = x.new_empty(len(x), len(parts[0].lora.b))
        hidden = []
        for part in parts:
            own, lora = part.at, part.lora
            hidden.append(panels.forward(x[own], bias, lora.a, lora.b, part.scaling, y[own]))
        ctx.save_for_backward(x, *hidden)
        ctx.panels, ctx.parts = panels, parts
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None]:
        x, *hidden = ctx.saved_tensors
        dy, dx = dy.contiguous(), torch.empty_like(x)
        for part, h in zip(ctx.parts, hidden, strict=True):
            own, lora, gradient = part.at, part.lora, part.gradient
            of_rows, factors = (dy[own], x[own], h, dx[own]), (lora.a, lora.b, gradient.a, gradient.b)
            ctx.panels.backward(*of_rows, *factors, part.scaling)
        return dx, None, None, None


class _ByProducts(torch.autograd.Function):
    """Products of torch's, the delta's first, so that the sum is rounded once, behind an fp32 accumulator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, parts: Sequence[Rows]) -> Tensor:
        y = x.new_empty(len(x), len(group.weight))
        hidden = []
        for part in parts:
            own, of_members = x[part.at], part.lora.b.split(group.outputs)
            h = x.new_empty(len(own), len(part.lora.a))
            torch.addmm(h, own, part.lora.a.t(), beta=0, alpha=part.scaling, out=h)
            members = zip(h.chunk(len(of_members), 1), of_members, y[part.at].split(group.outputs, 1), strict=True)
            for h_of, b_of, y_of in members:
                torch.mm(h_of, b_of.t(), out=y_of)
            hidden.append(h)
        y.addmm_(x, group.weight.t())
        if group.bias is not None:
            y += group.bias
        ctx.save_for_backward(x, *hidden)
        ctx.group, ctx.parts = group, parts
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        x, *hidden = ctx.saved_tensors
        outputs, dx = ctx.group.outputs, torch.empty_like(x)
        for part, h in zip(ctx.parts, hidden, strict=True):
            b, db, members = part.lora.b.split(outputs), part.gradient.b.split(outputs), len(outputs)
            dh = torch.empty_like(h)
            of_members = (dh.chunk(members, 1), h.chunk(members, 1), b, db, dy[part.at].split(outputs, 1))
            for dh_of, h_of, b_of, db_of, dy_of in zip(*of_members, strict=True):
                torch.addmm(dh_of, dy_of, b_of, beta=0, alpha=part.scaling, out=dh_of)
                db_of.addmm_(dy_of.t(), h_of)
            part.gradient.a.addmm_(dh.t(), x[part.at])
            torch.mm(dh, part.lora.a, out=dx[part.at])
        dx.addmm_(dy, ctx.group.weight)
        return dx, None, None
