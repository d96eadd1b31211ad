"""What a pass computes between its products, as torch has it: compiled on GPUs, one operator after the other elsewhere.

`trainer.learners.kernel_pieces` has the same for CPUs with a C++ compiler.
"""

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainer.learners.compiled import compiled_on_gpus
from trainer.learners.frozen import Block, FrozenModel, Turns
from trainer.learners.prefixes import Forest


class Pieces(Protocol):
    """The pieces of one pass through a forest. Gradients pass through all but `divergence`, which makes one."""

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """x [T, d] / sqrt(mean x² + ε) · weight [d]."""

    def add_norm(self, x: Tensor, more: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """x + more, and its norm."""

    def gated(self, gate_up: Tensor) -> Tensor:
        """gate_up [T, 2 · d] → silu(gate) · up [T, d]."""

    def attention(self, qkv: Tensor, block: Block) -> Tensor:
        """qkv [T, (heads + 2 · kv) · d] → [T, heads · d]: a node sees those on its way from the root."""

    def divergence(self, logits: Tensor, targets: Tensor, chances: Tensor, losses: Tensor) -> Tensor:
        """Writes each row's loss (`expectations`) to `losses`, and gives its gradient by the logits [n, V].

        That is softmax, less the chances; it may take the logits' memory.
        """


class TorchPieces:
    """`Pieces` of one pass."""

    def __init__(self, base: FrozenModel, grown: Forest, turns: Turns) -> None:
        self._base, self._forest = base, grown
        self._cos, self._sin = turns
        width, on_gpu = grown.nodes.shape[1], base.embedding.is_cuda  # there torch's kernel knows what is later
        self._later = None if on_gpu else torch.full((width, width), -torch.inf).triu(1).repeat(base.groups, 1)

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return _norm(x, weight, self._base.epsilon)

    def add_norm(self, x: Tensor, more: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return _add_norm(x, more, weight, self._base.epsilon)

    def gated(self, gate_up: Tensor) -> Tensor:
        return _gated(gate_up)

    def attention(self, qkv: Tensor, block: Block) -> Tensor:
        base, size, kv = self._base, self._base.head_size, self._base.key_heads
        count, width = self._forest.nodes.shape
        norms = None
        if block.query_norm is not None and block.key_norm is not None:
            norms = block.query_norm, block.key_norm, base.epsilon
        rows = _turned(qkv, self._cos, self._sin, (base.heads, kv), norms)
        placed: Tensor = _ToPlaces.apply(rows, self._forest)  # type: ignore[no-untyped-call]
        q, k, v = placed.view(count, width, -1, size).transpose(1, 2).split((base.heads, kv, kv), 1)
        mixed = _flash_attention(q, k, v) if self._later is None else _causal_attention(q, k, v, self._later)
        mixed = mixed.transpose(1, 2).reshape(count * width, base.heads * size)
        attended: Tensor = _FromPlaces.apply(mixed, self._forest)  # type: ignore[no-untyped-call]
        return attended

    def divergence(self, logits: Tensor, targets: Tensor, chances: Tensor, losses: Tensor) -> Tensor:
        return _divergence(logits, targets, chances, losses)


class _ToPlaces(torch.autograd.Function):
    """Rows of nodes [T, d] → places [B · L, d]. A node's gradient is the sum over the places where it stands."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, grown: Forest) -> Tensor:
        ctx.grown = grown
        return rows.index_select(0, grown.nodes.view(-1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        grown = ctx.grown
        rows = gradient.index_select(0, grown.places).float()  # what begins every question is summed often
        rows.index_add_(0, grown.shared, gradient.index_select(0, grown.sharing).float())
        return rows.to(gradient.dtype), None


class _FromPlaces(torch.autograd.Function):
    """Places [B · L, d] → rows of nodes [T, d], each from its first place."""

    @staticmethod
    def forward(ctx: Any, placed: Tensor, grown: Forest) -> Tensor:
        ctx.grown, ctx.count = grown, len(placed)
        return placed.index_select(0, grown.places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        placed = gradient.new_zeros(ctx.count, gradient.shape[1])
        return placed.index_copy_(0, ctx.grown.places, gradient), None


@compiled_on_gpus
def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean x² + ε) · w, in fp32 up to the rounding."""
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)).to(x.dtype)


@compiled_on_gpus
def _add_norm(x: Tensor, more: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """x + more, and its norm."""
    x = x + more
    return x, _norm(x, weight, epsilon)


@compiled_on_gpus
def _gated(gate_up: Tensor) -> Tensor:
    """silu(gate) · up of [T, 2 · d]."""
    gate, up = gate_up.chunk(2, -1)
    return nn.functional.silu(gate) * up


@compiled_on_gpus
def _turned(
    qkv: Tensor, cos: Tensor, sin: Tensor, heads: tuple[int, int], norms: tuple[Tensor, Tensor, float] | None
) -> Tensor:
    """qkv [T, (heads + 2 · kv) · d] with q and k rotated by each row's position; cos, sin [T, 1, d].

    `norms`: what q and k are normed with before (Qwen 3), and ε.
    """
    own, kv = heads
    q, k, v = qkv.unflatten(1, (own + 2 * kv, -1)).split((own, kv, kv), 1)
    if norms is not None:
        q, k = (_norm(part, weight, norms[2]) for part, weight in zip((q, k), norms[:2], strict=True))
    x = torch.cat((q, k), 1)
    half = x.shape[-1] // 2
    turned = x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin
    return torch.cat((turned, v), 1).flatten(1)


def _causal_attention(q: Tensor, k: Tensor, v: Tensor, later: Tensor) -> Tensor:
    """q [B, heads, L, d], k, v [B, kv, L, d] → [B, heads, L, d]; softmax in fp32; later [heads / kv · L, L]: the mask.

    Each group of query heads with its key and value head is one product: at the length of a pair this is faster on
    CPUs than a kernel that keeps no scores.
    """
    (count, heads, width, size), kv = q.shape, k.shape[1]
    q = q.reshape(count * kv, heads // kv * width, size)
    k, v = (part.reshape(count * kv, width, size) for part in (k, v))
    scores = (q @ k.transpose(1, 2)).float() / math.sqrt(size) + later
    return (torch.softmax(scores, -1).to(v.dtype) @ v).view(count, heads, width, size)


def _flash_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by torch's own kernels for GPUs."""
    return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


@compiled_on_gpus
def _divergence(logits: Tensor, targets: Tensor, chances: Tensor, losses: Tensor) -> Tensor:
    """Writes each row's loss (`expectations`) to `losses`; its gradient by the logits: softmax, less the chances."""
    wide = logits.float()
    normaliser = torch.logsumexp(wide, -1, keepdim=True)
    expected = wide.gather(1, targets) - normaliser
    losses.copy_((torch.xlogy(chances, chances) - chances * expected).sum(-1))
    found = wide.sub_(normaliser).exp_().mul_(chances.sum(-1, keepdim=True))
    return found.scatter_add_(1, targets, -chances).to(logits.dtype)
