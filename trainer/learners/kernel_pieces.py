"""What a pass computes between its products, by the kernels of kernels.cpp, each with its gradient written out.

`TorchPieces` is the reference.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lift.native import TILE_SIDE
from trainer.learners.frozen import Block, FrozenModel, Turns
from trainer.learners.kernels import MOST_CHOICES, WIDEST_HEAD, Kernels, kernels
from trainer.learners.pieces import Pieces, TorchPieces
from trainer.learners.prefixes import Forest
from trainer.learners.tiles import fit, tiles


def pieces(base: FrozenModel, grown: Forest, turns: Turns) -> Pieces:
    """The fastest there are where the forest is."""
    fits = base.embedding.is_cpu and base.head_size <= WIDEST_HEAD and grown.targets.shape[1] <= MOST_CHOICES
    found = kernels(base.embedding.dtype) if fits else None
    return KernelPieces(found, base, grown, turns) if found else TorchPieces(base, grown, turns)


class KernelPieces:
    """`Pieces` of one pass."""

    def __init__(self, run: Kernels, base: FrozenModel, grown: Forest, turns: Turns) -> None:
        self._run, self._base = run, base
        self._layout = _Layout(base, grown, turns)

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


class _Layout:
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
        ctx: Any, qkv: Tensor, norms: tuple[Tensor | None, Tensor | None], layout: _Layout, run: Kernels
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
        by_q, by_k, by_v = _unmixed_on_tiles(*given, layout.tiles) if layout.tiles else _unmixed(*given, run)
        nodes, width = len(by_attended), (layout.heads + 2 * layout.key_heads) * layout.size
        by_qkv = q.new_empty(nodes, width)
        qkv, *norms = normed or (by_qkv, None, None)  # of what is turned only norms ask what it was before
        at = layout.firsts, layout.standing, *layout.where
        run(
            "to_places_back",
            by_q,
            by_k,
            by_v,
            qkv,
            *layout.turns,
            *norms,
            layout.epsilon,
            *at,
            by_qkv,
            nodes,
            *layout.sizes,
        )
        return by_qkv, None, None, None


def _placed(qkv: Tensor, layout: _Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for queries [P · heads · d], keys and values [P · kv · d]: of each sequence [heads or kv, length, d]."""
    q, k, v = (
        qkv.new_empty(len(layout.nodes) * heads * layout.size) for heads in (layout.heads, *[layout.key_heads] * 2)
    )
    return q, k, v


def _mixed(q: Tensor, k: Tensor, v: Tensor, layout: _Layout, run: Kernels) -> tuple[Tensor, Tensor]:
    """P V of each product, and P."""
    q, k, v = _as_products(layout, q, k, v)
    chances = q @ k.transpose(1, 2)
    run("causal_softmax", chances, layout.scale, chances.shape[:2].numel(), layout.width)
    return chances @ v, chances


def _unmixed(  # noqa: PLR0917 - as `_Attention` has them
    q: Tensor, k: Tensor, v: Tensor, chances: Tensor, by: Tensor, layout: _Layout, run: Kernels
) -> tuple[Tensor, Tensor, Tensor]:
    """dQ, dK and dV."""
    q, k, v, by = _as_products(layout, q, k, v, by)
    by_scores = by @ v.transpose(1, 2)
    run("causal_softmax_back", by_scores, chances, layout.scale, chances.shape[:2].numel(), layout.width)
    return by_scores @ k, by_scores.transpose(1, 2) @ q, chances.transpose(1, 2) @ by


def _as_products(layout: _Layout, *placed: Tensor) -> Iterator[Tensor]:
    """Queries [B · kv, heads / kv · L, d], keys and values [B · kv, L, d]."""
    products = layout.count * layout.key_heads
    return (each.view(products, -1, layout.size) for each in placed)


def _mixed_on_tiles(q: Tensor, k: Tensor, v: Tensor, layout: _Layout, run: Kernels) -> tuple[Tensor, Tensor]:
    """`_mixed`, but that P of each sequence has rows and columns up to multiples of 32, and all lie in one row."""
    mixed, chances = torch.empty_like(q), q.new_empty(int(layout.first_chances[-1]))
    at = layout.starts, layout.first_chances
    run("attention", q, k, v, *at, layout.scale, chances, mixed, layout.count, *layout.sizes)
    return mixed, chances


def _unmixed_on_tiles(  # noqa: PLR0917 - as `_Attention` has them
    q: Tensor, k: Tensor, v: Tensor, chances: Tensor, by: Tensor, layout: _Layout, run: Kernels
) -> tuple[Tensor, Tensor, Tensor]:
    by_q, by_k, by_v = map(torch.empty_like, (q, k, v))
    at = layout.starts, layout.first_chances
    run("attention_back", q, k, v, chances, *at, layout.scale, by, by_q, by_k, by_v, layout.count, *layout.sizes)
    return by_q, by_k, by_v
