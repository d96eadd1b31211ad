"""What a pass computes between its products, by the kernels of kernels.cpp, each with its gradient written out.

`TorchPieces` is the reference.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer.learners.frozen import Block, FrozenModel, Turns
from trainer.learners.kernels import MOST_CHOICES, WIDEST_HEAD, Kernels, kernels
from trainer.learners.layout import Layout
from trainer.learners.pieces import Pieces, TorchPieces
from trainer.learners.prefixes import Forest


def pieces(base: FrozenModel, grown: Forest, turns: Turns) -> Pieces:
    """The fastest there are where the forest is."""
    fits = base.embedding.is_cpu and base.head_size <= WIDEST_HEAD and grown.targets.shape[1] <= MOST_CHOICES
    found = kernels(base.embedding.dtype) if fits else None
    return KernelPieces(found, base, grown, turns) if found else TorchPieces(base, grown, turns)


class KernelPieces:
    """`Pieces` of one pass."""

    def __init__(self, run: Kernels, base: FrozenModel, grown: Forest, turns: Turns) -> None:
        self._run, self._base = run, base
        self._layout = Layout(base, grown, turns)

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        normed: Tensor = _Norm.apply(x, None, weight, self._base.epsilon, self._run)  # type: ignore[no-untyped-call]
        return normed

    def add_norm(self, x: Tensor, more: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        both: tuple[Tensor, Tensor] = _Norm.apply(x, more, weight, self._base.epsilon, self._run)  # type: ignore[no-untyped-call]
        return both

    def gated(self, gate_up: Tensor) -> Tensor:
        out: Tensor = _Gated.apply(gate_up, self._run)  # type: ignore[no-untyped-call]
        return out

    def attention(self, qkv: Tensor, block: Block) -> Tensor:
        norms = block.query_norm, block.key_norm
        attended: Tensor = _Attention.apply(qkv, norms, self._layout, self._run)  # type: ignore[no-untyped-call]
        return attended

    def divergence(self, logits: Tensor, targets: Tensor, chances: Tensor, losses: Tensor) -> Tensor:
        self._run("divergence", logits, targets, chances, losses, *logits.shape, targets.shape[1])
        return logits


class _Norm(torch.autograd.Function):
    """x, more or None → their sum where there is more, and the norm."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any, x: Tensor, more: Tensor | None, weight: Tensor, epsilon: float, run: Kernels
    ) -> Tensor | tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        total = x if more is None else torch.empty_like(x)
        normed, scales = torch.empty_like(x), x.new_empty(len(x), dtype=torch.float32)
        run("add_norm", x, more, weight, total, normed, scales, epsilon, *x.shape)
        ctx.save_for_backward(total, weight, scales)
        ctx.run = run
        return normed if more is None else (total, normed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *by: Tensor | None) -> tuple[Tensor, Tensor | None, None, None, None]:
        total, weight, scales = ctx.saved_tensors
        *by_total, by_normed = (each if each is None else each.contiguous() for each in by)
        by_x = torch.empty_like(total)
        beside = by_total[0] if by_total else None
        ctx.run("add_norm_back", beside, by_normed, total, weight, scales, by_x, *total.shape)
        return by_x, by_x if by_total else None, None, None, None


class _Gated(torch.autograd.Function):
    """gate_up [T, 2 · d] → silu(gate) · up [T, d]."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, run: Kernels) -> Tensor:
        out = gate_up.new_empty(len(gate_up), gate_up.shape[1] // 2)
        run("gated", gate_up, out, *out.shape)
        ctx.save_for_backward(gate_up)
        ctx.run = run
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor, None]:
        (gate_up,) = ctx.saved_tensors
        by_gate_up = torch.empty_like(gate_up)
        ctx.run("gated_back", by_out.contiguous(), gate_up, by_gate_up, *by_out.shape)
        return by_gate_up, None


class _Attention(torch.autograd.Function):
    """qkv [T, (heads + 2 · kv) · d] → [T, heads · d].

    P = softmax(Q Kᵀ / √d) over what came before;  y = P V.  dV = Pᵀ dy;  dP = dy Vᵀ;
    dS = P ∘ (dP - rowsum(P ∘ dP)) / √d;  dQ = dS K;  dK = dSᵀ Q. Query heads that share a key head are one product.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, norms: tuple[Tensor | None, Tensor | None], layout: Layout, run: Kernels
    ) -> Tensor:
        q, k, v = _placed(qkv, layout)
        at, sizes = (layout.nodes, *layout.where), (len(layout.nodes), *layout.sizes)
        run("to_places", qkv, *layout.turns, *norms, layout.epsilon, *at, q, k, v, *sizes)
        mixed, chances = (
            _mixed_on_tiles(q, k, v, layout, layout.tiles) if layout.tiles else _mixed(q, k, v, layout, run)
        )
        attended = qkv.new_empty(len(qkv), layout.heads * layout.size)
        run("from_places", mixed, layout.places, *layout.where, attended, len(qkv), layout.heads, layout.size)
        ctx.save_for_backward(q, k, v, chances, *((qkv, *norms) if norms[0] is not None else ()))
        ctx.layout, ctx.run = layout, run
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_attended: Tensor) -> tuple[Tensor, None, None, None]:
        q, k, v, chances, *normed = ctx.saved_tensors
        layout, run = ctx.layout, ctx.run
        by = torch.empty_like(q)
        sizes = len(layout.owners), layout.heads, layout.size
        run("from_places_back", by_attended.contiguous(), layout.owners, *layout.where, by, *sizes)
        given = q, k, v, chances, by, layout
        by_placed = _unmixed_on_tiles(*given, layout.tiles) if layout.tiles else _unmixed(*given, run)
        nodes, width = len(by_attended), (layout.heads + 2 * layout.key_heads) * layout.size
        by_qkv = q.new_empty(nodes, width)
        qkv, *norms = normed or (by_qkv, None, None)  # of what is turned only norms ask what it was before
        before = qkv, *layout.turns, *norms, layout.epsilon
        at = layout.firsts, layout.standing, *layout.where
        run("to_places_back", *by_placed, *before, *at, by_qkv, nodes, *layout.sizes)
        return by_qkv, None, None, None


def _placed(qkv: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for queries [P · heads · d], keys and values [P · kv · d]: of each sequence [heads or kv, length, d]."""
    places, size = len(layout.nodes), layout.size
    k, v = (qkv.new_empty(places * layout.key_heads * size) for _ in range(2))
    return qkv.new_empty(places * layout.heads * size), k, v


def _mixed(q: Tensor, k: Tensor, v: Tensor, layout: Layout, run: Kernels) -> tuple[Tensor, Tensor]:
    """P V of each product, and P."""
    q, k, v = _as_products(layout, q, k, v)
    chances = q @ k.transpose(1, 2)
    run("causal_softmax", chances, layout.scale, chances.shape[:2].numel(), layout.width)
    return chances @ v, chances


def _unmixed(  # noqa: PLR0917 - as `_Attention` has them
    q: Tensor, k: Tensor, v: Tensor, chances: Tensor, by: Tensor, layout: Layout, run: Kernels
) -> tuple[Tensor, Tensor, Tensor]:
    """dQ, dK and dV."""
    q, k, v, by = _as_products(layout, q, k, v, by)
    by_scores = by @ v.transpose(1, 2)
    run("causal_softmax_back", by_scores, chances, layout.scale, chances.shape[:2].numel(), layout.width)
    return by_scores @ k, by_scores.transpose(1, 2) @ q, chances.transpose(1, 2) @ by


def _as_products(layout: Layout, *placed: Tensor) -> Iterator[Tensor]:
    """Queries [B · kv, heads / kv · L, d], keys and values [B · kv, L, d]."""
    products = layout.count * layout.key_heads
    return (each.view(products, -1, layout.size) for each in placed)


def _mixed_on_tiles(q: Tensor, k: Tensor, v: Tensor, layout: Layout, run: Kernels) -> tuple[Tensor, Tensor]:
    """`_mixed`, but that P of each sequence has rows and columns up to multiples of 32, and all lie in one row."""
    mixed, chances = torch.empty_like(q), q.new_empty(int(layout.first_chances[-1]))
    at = layout.starts, layout.first_chances
    run("attention", q, k, v, *at, layout.scale, chances, mixed, layout.count, *layout.sizes)
    return mixed, chances


def _unmixed_on_tiles(  # noqa: PLR0917 - as `_Attention` has them
    q: Tensor, k: Tensor, v: Tensor, chances: Tensor, by: Tensor, layout: Layout, run: Kernels
) -> tuple[Tensor, Tensor, Tensor]:
    by_q, by_k, by_v = map(torch.empty_like, (q, k, v))
    at = layout.starts, layout.first_chances
    run("attention_back", q, k, v, chances, *at, layout.scale, by, by_q, by_k, by_v, layout.count, *layout.sizes)
    return by_q, by_k, by_v
