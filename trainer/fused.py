"""LoRA for Llama-shaped models, fast: each distinct prefix of a step once, products fused, gradients of the rest by hand.

Llama 2 and 3, SmolLM2, Mistral, Qwen 2 and 3 are one architecture:

    x ← embedding[token]
    x ← x + O(attention(rope(Q n), rope(K n), V n))    n = norm(x)
    x ← x + D(silu(G n) · U n)                         n = norm(x)
    loss = mean of -log softmax(head norm(x))[target]  over the answer tokens (LIFT eq. 1)

Each linear layer W is adapted: y = W x + s B A x, s = alpha / rank. Layers with the same input (Q, K, V; G, U) are one
product. `PeftLearner` is the reference for all of this.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainer.batches import Example
from trainer.prefixes import Tree, tree
from trainer.profiles import Hyperparameters

MODEL_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
BETAS = (0.9, 0.999)
EPSILON = 1e-8
LOGIT_ROWS = 256  # logits made at a time: vocabulary-sized rows leave the cache quickly
UPDATE_WEIGHTS = 1 << 20  # weights updated at a time: what eight passes over them touch stays in the cache


class FusedLearner:
    """Trains adapters on the weights of a transformers model, which it shares and never changes."""

    def __init__(self, model: Any, *, compiled: bool) -> None:
        """`compiled`: elementwise functions go through torch.compile, which needs a C++ compiler."""
        self._base = _Base.of(model)
        self._functions = _Functions.compiled() if compiled else _Functions()

    @contextmanager
    def adapter(self, hyperparameters: Hyperparameters) -> Iterator["FusedAdapter"]:
        """Fresh LoRA weights for the length of the block."""
        yield FusedAdapter(self._base, self._functions, hyperparameters)


class FusedAdapter:
    """One adapter in training."""

    def __init__(self, base: "_Base", functions: "_Functions", hyperparameters: Hyperparameters) -> None:
        self._base, self._functions = base, functions
        self.lora = _Lora(base, hyperparameters)

    def step(self, examples: Sequence[Example]) -> float:
        """One optimizer step; mean loss per answer token before it (LIFT eq. 1), in nats."""
        loss = self.loss(examples)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type here
        self.lora.update(self._functions)
        return float(loss.detach())

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Mean -log p(answer token) with the present weights (LIFT eq. 1)."""
        return _loss(self._base, self.lora, tree(examples), self._functions)

    def weights(self) -> dict[str, Tensor]:
        """The weights under PEFT's names, bf16 on the CPU: A [rank, d_in] and B [d_out, rank] of each linear layer."""
        named = self.lora.by_name(self.lora.weights)
        return {name: weight.to("cpu", torch.bfloat16, copy=True) for name, weight in named.items()}


@dataclass(frozen=True, slots=True)
class _Group:
    """Linear layers that read the same input: W [sum of d_out, d_in], one below the other."""

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor | None
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, layers: dict[str, nn.Linear]) -> "_Group":
        linears = list(layers.values())
        weight = linears[0].weight.data if len(linears) == 1 else torch.cat([linear.weight.data for linear in linears])
        biases = [linear.bias.data for linear in linears if linear.bias is not None]
        return cls(tuple(layers), weight, torch.cat(biases) if biases else None, tuple(l.out_features for l in linears))


@dataclass(frozen=True, slots=True)
class _Layer:
    """One block."""

    qkv: _Group
    out: _Group
    gate_up: _Group
    down: _Group
    attention_norm: Tensor
    mlp_norm: Tensor
    query_norm: Tensor | None
    key_norm: Tensor | None


@dataclass(frozen=True, slots=True)
class _Base:
    """The frozen model."""

    layers: tuple[_Layer, ...]
    embedding: Tensor
    norm: Tensor
    head: Tensor
    rotary: Any
    heads: int
    groups: int
    head_size: int
    epsilon: float

    @classmethod
    def of(cls, model: Any) -> "_Base":
        config = model.config
        layers = []
        for number, block in enumerate(model.model.layers):
            at, mlp, path = block.self_attn, block.mlp, f"model.layers.{number}"
            layers.append(
                _Layer(
                    qkv=_Group.of({f"{path}.self_attn.{n}": getattr(at, n) for n in ("q_proj", "k_proj", "v_proj")}),
                    out=_Group.of({f"{path}.self_attn.o_proj": at.o_proj}),
                    gate_up=_Group.of({f"{path}.mlp.{n}": getattr(mlp, n) for n in ("gate_proj", "up_proj")}),
                    down=_Group.of({f"{path}.mlp.down_proj": mlp.down_proj}),
                    attention_norm=block.input_layernorm.weight.data,
                    mlp_norm=block.post_attention_layernorm.weight.data,
                    query_norm=at.q_norm.weight.data if hasattr(at, "q_norm") else None,
                    key_norm=at.k_norm.weight.data if hasattr(at, "k_norm") else None,
                )
            )
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            layers=tuple(layers),
            embedding=model.get_input_embeddings().weight.data,
            norm=model.model.norm.weight.data,
            head=model.get_output_embeddings().weight.data,
            rotary=model.model.rotary_emb,
            heads=config.num_attention_heads,
            groups=config.num_attention_heads // config.num_key_value_heads,
            head_size=head_size,
            epsilon=config.rms_norm_eps,
        )


@dataclass(frozen=True, slots=True)
class _Adapted:
    """A [members · rank, d_in] and B of each member [d_out, rank] of a group of linear layers, or their gradients."""

    a: Tensor
    b: tuple[Tensor, ...]


class _Lora:
    """The weights of one adapter and their optimizer, in flat buffers.

    `_masters` and the moments are fp32; `weights`, which compute, and `gradients` have the base's type.
    """

    def __init__(self, base: _Base, hyperparameters: Hyperparameters) -> None:
        self.hyperparameters = hyperparameters
        self.scaling = hyperparameters.alpha / hyperparameters.rank
        self._groups = [group for layer in base.layers for group in (layer.qkv, layer.out, layer.gate_up, layer.down)]
        rank, like = hyperparameters.rank, base.embedding
        size = rank * sum(len(group.names) * group.weight.shape[1] + len(group.weight) for group in self._groups)
        self._masters = torch.zeros(size, device=like.device)
        self._first, self._second = torch.zeros_like(self._masters), torch.zeros_like(self._masters)
        self.weights, self.gradients = like.new_zeros(size), like.new_zeros(size)
        generator = torch.Generator(like.device).manual_seed(hyperparameters.seed)
        for adapted in self.of_groups(self._masters).values():
            bound = 1 / math.sqrt(adapted.a.shape[1])  # as torch and PEFT initialise a linear layer
            adapted.a.uniform_(-bound, bound, generator=generator)
        self.weights.copy_(self._masters)
        self._steps = 0

    def of_groups(self, flat: Tensor) -> dict[str, _Adapted]:
        """A flat buffer as the A and B of each group, by the name of the group's first layer."""
        rank, rest = self.hyperparameters.rank, flat
        adapted = {}
        for group in self._groups:
            shapes = [(len(group.names) * rank, group.weight.shape[1]), *((d_out, rank) for d_out in group.outputs)]
            *pieces, rest = rest.split(
                [*(math.prod(shape) for shape in shapes), len(rest) - sum(map(math.prod, shapes))]
            )
            a, *b = (piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True))
            adapted[group.names[0]] = _Adapted(a, tuple(b))
        return adapted

    def by_name(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat buffer as the A and B of each linear layer, under PEFT's names."""
        named = {}
        for group, adapted in zip(self._groups, self.of_groups(flat).values(), strict=True):
            for name, a, b in zip(group.names, adapted.a.split(self.hyperparameters.rank), adapted.b, strict=True):
                named[f"base_model.model.{name}.lora_A.weight"] = a
                named[f"base_model.model.{name}.lora_B.weight"] = b
        return named

    def update(self, functions: "_Functions") -> None:
        """One step of AdamW without decay, on gradients clipped by their norm, which are zero after it."""
        norm = float(torch.linalg.vector_norm(self.gradients, dtype=torch.float32))
        rate = self.hyperparameters.learning_rate_at(self._steps)
        self._steps += 1
        first_kept, second_kept = (1 - beta**self._steps for beta in BETAS)
        clip = min(1.0, self.hyperparameters.clip_norm / (norm + 1e-6))
        numbers = torch.tensor([clip, rate / first_kept, 1 / math.sqrt(second_kept)], device=self._masters.device)
        flats = (self._masters, self.weights, self.gradients, self._first, self._second)
        for pieces in zip(*(flat.split(UPDATE_WEIGHTS) for flat in flats), strict=True):
            functions.update(*pieces, *numbers)


class _AdaptedLinear(torch.autograd.Function):
    """y = W x + B h, h = s A x. The delta goes first, so that the sum is rounded once, behind an fp32 accumulator.

    dh = s Bᵀ dy;  dx = Wᵀ dy + Aᵀ dh;  dA = dh xᵀ;  dB = dy hᵀ. Rows are tokens: x [T, d_in], y [T, sum of d_out].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: _Group, lora: _Adapted, gradient: _Adapted, scaling: float) -> Tensor:
        h = x.new_empty(len(x), len(lora.a))
        torch.addmm(h, x, lora.a.t(), beta=0, alpha=scaling, out=h)
        y = x.new_empty(len(x), len(group.weight))
        for h_of, b, y_of in zip(h.chunk(len(lora.b), 1), lora.b, y.split(group.outputs, 1), strict=True):
            torch.mm(h_of, b.t(), out=y_of)
        y.addmm_(x, group.weight.t())
        if group.bias is not None:
            y += group.bias
        ctx.save_for_backward(x, h)
        ctx.group, ctx.lora, ctx.gradient, ctx.scaling = group, lora, gradient, scaling
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None, None]:
        (x, h), lora, gradient = ctx.saved_tensors, ctx.lora, ctx.gradient
        dh, members = torch.empty_like(h), len(lora.b)
        of_members = (dh.chunk(members, 1), h.chunk(members, 1), lora.b, gradient.b, dy.split(ctx.group.outputs, 1))
        for dh_of, h_of, b, db, dy_of in zip(*of_members, strict=True):
            torch.addmm(dh_of, dy_of, b, beta=0, alpha=ctx.scaling, out=dh_of)
            db.addmm_(dy_of.t(), h_of)
        gradient.a.addmm_(dh.t(), x)
        dx = dh @ lora.a
        dx.addmm_(dy, ctx.group.weight)
        return dx, None, None, None, None


class _ToPlaces(torch.autograd.Function):
    """Rows of nodes [T, d] → places [B · L, d]. A node's gradient is the sum over the places where it stands."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, laid_out: Tree) -> Tensor:
        ctx.laid_out = laid_out
        return rows.index_select(0, laid_out.nodes.view(-1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        laid_out = ctx.laid_out
        rows = gradient.index_select(0, laid_out.places)
        rows.index_add_(0, laid_out.shared, gradient.index_select(0, laid_out.sharing))
        return rows, None


class _FromPlaces(torch.autograd.Function):
    """Places [B · L, d] → rows of nodes [T, d], each from its first place."""

    @staticmethod
    def forward(ctx: Any, placed: Tensor, laid_out: Tree) -> Tensor:
        ctx.laid_out, ctx.count = laid_out, len(placed)
        return placed.index_select(0, laid_out.places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        placed = gradient.new_zeros(ctx.count, gradient.shape[1])
        return placed.index_copy_(0, ctx.laid_out.places, gradient), None


class _AnswerLoss(torch.autograd.Function):
    """hidden [T_a, d], head [V, d], targets [T_a] → sum of -log softmax(head hidden)[target], weighted by `weight`.

    The gradient is made on the way, a few rows at a time: logits [T_a, V] would fill the memory for nothing.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weight: float, functions: "_Functions"
    ) -> Tensor:
        gradient = torch.empty_like(hidden)
        loss = hidden.new_zeros((), dtype=torch.float32)
        pieces = zip(hidden.split(LOGIT_ROWS), targets.split(LOGIT_ROWS), gradient.split(LOGIT_ROWS), strict=True)
        for rows, wanted, out in pieces:
            part, by_logits = functions.cross_entropy(rows @ head.t(), wanted, weight)
            loss += part
            torch.mm(by_logits, head, out=out)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor, None, None, None, None]:
        return ctx.saved_tensors[0] * by_loss, None, None, None, None


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean x² + ε) · w, in fp32 up to the rounding."""
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)).to(x.dtype)


def _add_norm(x: Tensor, more: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """x + more, and its norm."""
    x = x + more
    return x, _norm(x, weight, epsilon)


def _gated(gate_up: Tensor) -> Tensor:
    """silu(gate) · up of [T, 2 · d]."""
    gate, up = gate_up.chunk(2, -1)
    return nn.functional.silu(gate) * up


def _rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates [T, heads, d] by each row's position; cos, sin [T, d]."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), -1)
    return x * cos.unsqueeze(1) + turned * sin.unsqueeze(1)


def _probabilities(scores: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax of masked scores [.., Q, K], in fp32."""
    return torch.softmax(scores.float() * scale + mask, -1).to(scores.dtype)


def _cross_entropy(logits: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """The weighted sum of -log softmax(logits)[target], and its gradient by the logits."""
    wide = logits.float()
    normaliser = torch.logsumexp(wide, -1, keepdim=True)
    at = targets.unsqueeze(1)
    loss = (normaliser - wide.gather(1, at)).sum() * weight
    gradient = torch.exp(wide - normaliser)
    gradient = (gradient - (torch.arange(wide.shape[1], device=wide.device) == at).float()) * weight
    return loss, gradient.to(logits.dtype)


def _update(
    masters: Tensor,
    weights: Tensor,
    gradients: Tensor,
    first: Tensor,
    second: Tensor,
    clip: Tensor,
    rate: Tensor,
    widen: Tensor,
) -> None:
    """AdamW in place: first and second moments, then masters -= rate · first / (sqrt(second) · widen + ε)."""
    gradient = gradients.float() * clip
    first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    masters.sub_(rate * first / (second.sqrt() * widen + EPSILON))
    weights.copy_(masters)
    gradients.zero_()


@dataclass(frozen=True, slots=True)
class _Functions:
    """The elementwise parts, as they stand or compiled."""

    norm: Callable[..., Any] = _norm
    add_norm: Callable[..., Any] = _add_norm
    gated: Callable[..., Any] = _gated
    rope: Callable[..., Any] = _rope
    probabilities: Callable[..., Any] = _probabilities
    cross_entropy: Callable[..., Any] = _cross_entropy
    update: Callable[..., Any] = _update

    @classmethod
    def compiled(cls) -> "_Functions":
        functions = (_norm, _add_norm, _gated, _rope, _probabilities, _cross_entropy, _update)
        return cls(*(torch.compile(function, dynamic=True) for function in functions))


def _loss(base: _Base, lora: _Lora, laid_out: Tree, functions: _Functions) -> Tensor:
    weights, gradients = lora.of_groups(lora.weights), lora.of_groups(lora.gradients)

    def linear(x: Tensor, group: _Group) -> Tensor:
        name = group.names[0]
        return _AdaptedLinear.apply(x, group, weights[name], gradients[name], lora.scaling)

    x = base.embedding[laid_out.tokens].requires_grad_()
    cos, sin = (part[0] for part in base.rotary(x, laid_out.positions.unsqueeze(0)))
    width = laid_out.nodes.shape[1]
    mask = torch.full((width, width), -torch.inf).triu(1).repeat(base.groups, 1)
    answers = laid_out.answers
    normed = functions.norm(x, base.layers[0].attention_norm, base.epsilon)
    for layer, after in zip(base.layers, [*base.layers[1:], None]):
        attended = _attention(base, layer, linear(normed, layer.qkv), cos, sin, mask, laid_out, functions)
        if after is None:  # from here on only what predicts an answer is wanted
            x, attended = x.index_select(0, answers), attended.index_select(0, answers)
        x, normed = functions.add_norm(x, linear(attended, layer.out), layer.mlp_norm, base.epsilon)
        mlp = linear(functions.gated(linear(normed, layer.gate_up)), layer.down)
        x, normed = functions.add_norm(x, mlp, base.norm if after is None else after.attention_norm, base.epsilon)
    return _AnswerLoss.apply(normed, base.head, laid_out.targets, 1 / len(answers), functions)


def _attention(
    base: _Base,
    layer: _Layer,
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
    laid_out: Tree,
    functions: _Functions,
) -> Tensor:
    """qkv [T, (heads + 2 · kv) · d] → [T, heads · d]: each node sees those on its way from the root."""
    (count, width), size, groups = laid_out.nodes.shape, base.head_size, base.groups
    shared_heads = base.heads // groups
    values = qkv[:, (base.heads + shared_heads) * size :]
    turning = qkv[:, : (base.heads + shared_heads) * size].unflatten(1, (-1, size))
    if layer.query_norm is not None:
        queries = functions.norm(turning[:, : base.heads], layer.query_norm, base.epsilon)
        keys = functions.norm(turning[:, base.heads :], layer.key_norm, base.epsilon)
        turning = torch.cat((queries, keys), 1)
    turned = functions.rope(turning, cos, sin)
    placed = _ToPlaces.apply(torch.cat((turned.flatten(1), values), 1), laid_out)
    q, k, v = placed.view(count, width, -1, size).split((base.heads, shared_heads, shared_heads), 2)
    q = (
        q.unflatten(2, (shared_heads, groups))
        .permute(0, 2, 3, 1, 4)
        .reshape(count * shared_heads, groups * width, size)
    )
    k, v = (part.transpose(1, 2).reshape(count * shared_heads, width, size) for part in (k, v))
    chances = functions.probabilities(q @ k.transpose(1, 2), mask, 1 / math.sqrt(size))
    mixed = (chances @ v).view(count, shared_heads, groups, width, size).permute(0, 3, 1, 2, 4)
    return _FromPlaces.apply(mixed.reshape(count * width, base.heads * size), laid_out)
