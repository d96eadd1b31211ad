"""LoRA for Llama-shaped models, fast: each distinct prefix of a step is computed once, and products are fused.

Llama 2 and 3, SmolLM2, Mistral, Qwen 2 and 3 are one architecture:

    x ← embedding[token]
    x ← x + O(attention(rope(Q n), rope(K n), V n))    n = norm(x)
    x ← x + D(silu(G n) · U n)                         n = norm(x)
    loss = mean of -log softmax(head norm(x))[target]  over the answer tokens (LIFT eq. 1, and see `expectations`)

Each linear layer W is adapted: y = W x + s B A x, s = alpha / rank. Layers with the same input (Q, K, V; G, U) are one
product. `PeftLearner` is the reference for all of this.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainer.batches import Example
from trainer.expectations import worst
from trainer.prefixes import Forest, forest
from trainer.profiles import Hyperparameters
from trainer.whitening import KeptSpectra, Whitener, whiteners

MODEL_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
BETAS = (0.9, 0.999)
EPSILON = 1e-8
PASS_TOKENS = 8192  # a token keeps about 0.5 MB for the backward pass of a 135M model, 4.5 MB for one of 8B
LOGIT_ROWS = 256  # logits made at a time: vocabulary-sized rows leave the cache quickly
UPDATE_WEIGHTS = 1 << 20  # weights updated at a time: what eight passes over them touch stays in the cache


class FusedLearner:
    """Trains adapters on the weights of a model, which it shares and never changes; several adapters in one step."""

    @staticmethod
    def takes(config: Any) -> bool:
        """Whether a model of this configuration has the one architecture."""
        window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
        return config.model_type in MODEL_TYPES and config.hidden_act == "silu" and window is None

    def __init__(self, model: Any, kept: Callable[[], KeptSpectra] | None = None) -> None:
        """`model`: a transformers causal language model that this class takes, frozen from here on.

        `kept` gives the spectra of its inputs, which adapters with `whitening` need.
        """
        self._base = _Base.of(model)
        self.kept = kept

    @contextmanager
    def adapter(self, hyperparameters: Hyperparameters) -> Iterator["FusedAdapter"]:
        """Fresh LoRA weights for the length of the block. InvalidOption: `whitening` where no spectra are given."""
        whitened = whiteners(self.kept, hyperparameters.whitening, self._base.embedding)
        yield FusedAdapter(self, Lora(self._base, hyperparameters, whitened))

    def step(self, work: Sequence[tuple["FusedAdapter", Sequence[Example], float]]) -> list[float]:
        """One optimizer step of each adapter on its examples, as if it were alone; the number is `left`.

        Of each: mean loss per answer token before the step (LIFT eq. 1), in nats.
        """
        losses = self.accumulate(work, [_answer_tokens(examples) for _, examples, _ in work])
        for adapter, _, left in work:
            adapter.lora.update(left)
        return losses

    def accumulate(
        self, work: Sequence[tuple["FusedAdapter", Sequence[Example], float]], answer_tokens: Sequence[int]
    ) -> list[float]:
        """Sets each adapter's gradients to those of its examples' loss, summed and divided by `answer_tokens`.

        These are more than the examples' own where others compute the rest of a step; none at all give zeros. Of each:
        that loss, in nats.
        """
        losses = [0.0] * len(work)
        for adapter, _, _ in work:
            adapter.lora.gradients.zero_()
        for taken in _passes([examples for _, examples, _ in work], answer_tokens):
            of_tokens = self.token_losses([(work[number][0], part) for number, part, _ in taken])
            means = [found.mean() * share for found, (_, _, share) in zip(of_tokens, taken, strict=True)]
            torch.stack(means).sum().backward()
            for (number, part, _), found, mean in zip(taken, of_tokens, means, strict=True):
                losses[number] += float(mean.detach())
                adapter = work[number][0]
                if adapter.lora.hyperparameters.rest_below:  # nobody else asks
                    adapter.worst.update(worst(part, found.detach()))
        return losses

    def mean_losses(self, work: Sequence[tuple["FusedAdapter", Sequence[Example], float]]) -> list[Tensor]:
        """Of each adapter: the mean loss of its examples, times a share, with the present weights."""
        of_tokens = self.token_losses([(adapter, examples) for adapter, examples, _ in work])
        return [found.mean() * share for found, (_, _, share) in zip(of_tokens, work, strict=True)]

    def token_losses(self, work: Sequence[tuple["FusedAdapter", Sequence[Example]]]) -> list[Tensor]:
        """Of each adapter: the loss of each answer token of its examples in turn."""
        grown = forest([examples for _, examples in work]).to(self._base.embedding.device)
        losses = _Pass(self._base, [adapter.lora for adapter, _ in work], grown).losses()
        return [losses[rows] for rows in grown.tree_answers]


class FusedAdapter:
    """One adapter in training."""

    def __init__(self, learner: FusedLearner, lora: "Lora") -> None:
        self._learner = learner
        self.lora = lora
        self.worst: dict[Example, float] = {}

    def step(self, examples: Sequence[Example], left: float = 1.0) -> float:
        """One optimizer step; mean loss per answer token before it (LIFT eq. 1), in nats.

        `left`: see Hyperparameters.learning_rate_at.
        """
        return self._learner.step([(self, examples, left)])[0]

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """The mean loss per answer token with the present weights (`expectations`)."""
        return self._learner.mean_losses([(self, examples, 1.0)])[0]

    @torch.no_grad()
    def loss_with(self, weights: Mapping[str, Tensor], examples: Sequence[Example]) -> float:
        """Mean loss per answer token in nats with these weights, named and shaped as its own, which it keeps."""
        with self.lora.holding(weights):
            passes = _passes([examples], [_answer_tokens(examples)])
            work = [[(self, part, share) for _, part, share in taken] for taken in passes]
            return sum(float(mean) for of_pass in work for mean in self._learner.mean_losses(of_pass))

    def weights(self) -> dict[str, Tensor]:
        """The weights under PEFT's names, bf16 on the CPU: A [rank, d_in] and B [d_out, rank] of each linear layer."""
        named = self.lora.by_name(self.lora.weights)
        return {name: weight.to("cpu", torch.bfloat16, copy=True) for name, weight in named.items()}


def _answer_tokens(examples: Sequence[Example]) -> int:
    return sum(example.answer_tokens for example in examples)


def _passes(
    work: Sequence[Sequence[Example]], answer_tokens: Sequence[int]
) -> Iterator[list[tuple[int, list[Example], float]]]:
    """The examples of a step in passes that fit into memory: adapter's number, examples, share of its answer tokens."""
    taken: list[tuple[int, list[Example], float]] = []
    room = PASS_TOKENS
    for number, examples in enumerate(work):
        for part in _parts(examples):
            tokens = sum(len(example.tokens) for example in part)
            if taken and tokens > room:
                yield taken
                taken, room = [], PASS_TOKENS
            taken.append((number, part, _answer_tokens(part) / answer_tokens[number]))
            room -= tokens
    if taken:
        yield taken


def _parts(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Examples of one adapter in parts of at most PASS_TOKENS, where one alone is not longer."""
    part: list[Example] = []
    tokens = 0
    for example in examples:
        if part and tokens + len(example.tokens) > PASS_TOKENS:
            yield part
            part, tokens = [], 0
        part.append(example)
        tokens += len(example.tokens)
    if part:
        yield part


@dataclass(frozen=True, slots=True)
class _Group:
    """Linear layers that read the same input: W [sum of d_out, d_in], one below the other."""

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor | None
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, layers: dict[str, nn.Linear]) -> "_Group":
        """The layers' own weights; where there are several, each becomes a part of one, its values unchanged."""
        linears = list(layers.values())
        outputs = tuple(linear.out_features for linear in linears)
        weight = linears[0].weight.data
        if len(linears) > 1:
            weight = torch.cat([linear.weight.data for linear in linears])
            for linear, part in zip(linears, weight.split(outputs), strict=True):
                linear.weight.data = part
        biases = [linear.bias.data for linear in linears if linear.bias is not None]
        return cls(tuple(layers), weight, torch.cat(biases) if biases else None, outputs)


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


class Lora:
    """The weights of one adapter and their optimizer, in flat buffers.

    `_masters` and the moments are fp32; `weights`, which compute, and `gradients` have the base's type. Where a
    group has a whitener, its A has masters and moments of A' (`whitening`).
    """

    def __init__(self, base: _Base, hyperparameters: Hyperparameters, whiteners: Mapping[str, Whitener]) -> None:
        self.hyperparameters = hyperparameters
        self.scaling = hyperparameters.scaling
        self._groups = [group for layer in base.layers for group in (layer.qkv, layer.out, layer.gate_up, layer.down)]
        rank, like = hyperparameters.rank, base.embedding
        size = rank * sum(len(group.names) * group.weight.shape[1] + len(group.weight) for group in self._groups)
        self._masters = torch.zeros(size, device=like.device)
        self._moments = self._masters.new_zeros(2, size)
        self.weights, self.gradients = like.new_zeros(size), like.new_zeros(size)
        generator = torch.Generator(like.device).manual_seed(hyperparameters.seed)
        for adapted in self.of_groups(self._masters).values():
            bound = 1 / math.sqrt(adapted.a.shape[1])  # as torch and PEFT initialise a linear layer
            adapted.a.uniform_(-bound, bound, generator=generator)
        of_weights, of_gradients, of_masters = map(self.of_groups, (self.weights, self.gradients, self._masters))
        self._whitened = [
            (whiteners[name], of_masters[name].a, of_weights[name].a, of_gradients[name].a)
            for name in of_masters
            if name in whiteners
        ]
        self._steps = 0
        self._take_over()

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

    @contextmanager
    def holding(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Computes with these weights, under PEFT's names, for the length of the block."""
        own = self.by_name(self.weights)
        try:
            for name, weight in weights.items():
                own[name].copy_(weight)
            yield
        finally:
            self._take_over()

    def _take_over(self) -> None:
        """Computes with the masters from here on."""
        self.weights.copy_(self._masters)
        self._whiten()

    def _whiten(self) -> None:
        for whitener, masters, weights, _ in self._whitened:
            weights.copy_(whitener(masters))

    def update(self, left: float) -> None:
        """One step of AdamW without decay, on gradients clipped by their norm."""
        for whitener, _, _, gradients in self._whitened:
            gradients.copy_(whitener(gradients))
        norm = float(torch.linalg.vector_norm(self.gradients, dtype=torch.float32))
        clip = min(1.0, self.hyperparameters.clip_norm / (norm + 1e-6))
        rate = self.hyperparameters.learning_rate_at(self._steps, left)
        self._steps += 1
        seen = [1 - beta**self._steps for beta in BETAS]  # what the moments, which began at zero, have seen
        numbers = torch.tensor([clip, rate / seen[0], 1 / math.sqrt(seen[1])], device=self._masters.device)
        flats = (self._masters, self.weights, self.gradients, self._moments)
        for masters, weights, gradients, moments in zip(*(f.split(UPDATE_WEIGHTS, -1) for f in flats), strict=True):
            _update(masters, weights, gradients, moments, numbers)
        self._whiten()


@dataclass(frozen=True, slots=True)
class _Share:
    """One adapter's part in a group of linear layers: the rows that are its own, its weights, and their gradients."""

    rows: slice
    lora: _Adapted
    gradient: _Adapted
    scaling: float


class _AdaptedLinear(torch.autograd.Function):
    """y = W x + s B A x of each row x, with the A, B and s of the adapter whose row it is. x [T, d_in], y [T, d_out].

    h = s A x;  y = B h + W x: the delta goes first, so that the sum is rounded once, behind an fp32 accumulator.
    dh = s Bᵀ dy;  dx = Aᵀ dh + Wᵀ dy;  dA = dh xᵀ;  dB = dy hᵀ. The layers of a group are members: each has its own
    part of h, B and y.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: _Group, shares: Sequence[_Share]) -> Tensor:
        y = x.new_empty(len(x), len(group.weight))
        hidden = []
        for share in shares:
            own, b = x[share.rows], share.lora.b
            h = x.new_empty(len(own), len(share.lora.a))
            torch.addmm(h, own, share.lora.a.t(), beta=0, alpha=share.scaling, out=h)
            for h_of, b_of, y_of in zip(h.chunk(len(b), 1), b, y[share.rows].split(group.outputs, 1), strict=True):
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
        dx = torch.empty_like(x)
        for share, h in zip(ctx.shares, hidden, strict=True):
            b, db, members = share.lora.b, share.gradient.b, len(share.lora.b)
            dh = torch.empty_like(h)
            of_members = (dh.chunk(members, 1), h.chunk(members, 1), b, db, dy[share.rows].split(ctx.group.outputs, 1))
            for dh_of, h_of, b_of, db_of, dy_of in zip(*of_members, strict=True):
                torch.addmm(dh_of, dy_of, b_of, beta=0, alpha=share.scaling, out=dh_of)
                db_of.addmm_(dy_of.t(), h_of)
            share.gradient.a.addmm_(dh.t(), x[share.rows])
            torch.mm(dh, share.lora.a, out=dx[share.rows])
        dx.addmm_(dy, ctx.group.weight)
        return dx, None, None


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


class _Losses(torch.autograd.Function):
    """hidden [T_a, d], head [V, d], targets, chances [T_a, K] → the loss of each answer token, fp32 [T_a].

    The gradient is made on the way, a few rows at a time: logits [T_a, V] would fill the memory for nothing.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, chances: Tensor) -> Tensor:
        gradient, losses = torch.empty_like(hidden), hidden.new_empty(len(hidden), dtype=torch.float32)
        wholes = (hidden, targets, chances, gradient, losses)
        for rows, wanted, chance, by_rows, of_rows in zip(*(w.split(LOGIT_ROWS) for w in wholes), strict=True):
            by_logits = _divergence(rows @ head.t(), wanted, chance, of_rows)
            torch.mm(by_logits, head, out=by_rows)
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_losses: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * by_losses.unsqueeze(1).to(gradient.dtype), None, None, None


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
    """Rotates [T, heads, d] by each row's position; cos, sin [T, 1, d]."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def _probabilities(scores: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax of masked scores [.., Q, K], in fp32."""
    return torch.softmax(scores.float() * scale + mask, -1).to(scores.dtype)


def _divergence(logits: Tensor, targets: Tensor, chances: Tensor, losses: Tensor) -> Tensor:
    """Writes each row's loss (`expectations`) to `losses`; its gradient by the logits: softmax, less the chances."""
    wide = logits.float()
    normaliser = torch.logsumexp(wide, -1, keepdim=True)
    expected = wide.gather(1, targets) - normaliser
    losses.copy_((torch.xlogy(chances, chances) - chances * expected).sum(-1))
    found = wide.sub_(normaliser).exp_().mul_(chances.sum(-1, keepdim=True))
    return found.scatter_add_(1, targets, -chances).to(logits.dtype)


def _update(masters: Tensor, weights: Tensor, gradients: Tensor, moments: Tensor, numbers: Tensor) -> None:
    """AdamW in place; moments [2, n]; numbers: clipping factor, corrected rate, correction of the second moment."""
    (first, second), (clip, rate, widen) = moments, numbers
    gradient = gradients.float() * clip
    first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    masters.sub_(rate * first / (second.sqrt() * widen + EPSILON))
    weights.copy_(masters)


class _Pass:
    """One pass of prefix trees through the model, each tree with its own adapter."""

    def __init__(self, base: _Base, loras: Sequence[Lora], grown: Forest) -> None:
        self._base, self._forest = base, grown
        self._adapters = [
            (lora.of_groups(lora.weights), lora.of_groups(lora.gradients), lora.scaling) for lora in loras
        ]
        turns = base.rotary(base.embedding, grown.positions.unsqueeze(0))  # of the embedding it reads the type only
        self._cos, self._sin = (turn[0].unsqueeze(1) for turn in turns)
        width = grown.nodes.shape[1]
        later = torch.full((width, width), -torch.inf, device=base.embedding.device).triu(1)
        self._mask = later.repeat(base.groups, 1)

    def losses(self) -> Tensor:
        """The loss of each answer token [T_a]."""
        base, grown = self._base, self._forest
        rows = grown.trees
        x = base.embedding[grown.tokens].requires_grad_()  # or nothing behind it would have gradients
        normed = _norm(x, base.layers[0].attention_norm, base.epsilon)
        for layer, after in zip(base.layers, [*base.layers[1:], None], strict=True):
            attended = self._attention(self._linear(normed, layer.qkv, rows), layer)
            if after is None:  # from here on only what predicts an answer is wanted
                x, attended = (each.index_select(0, grown.answers) for each in (x, attended))
                rows = grown.tree_answers
            x, normed = _add_norm(x, self._linear(attended, layer.out, rows), layer.mlp_norm, base.epsilon)
            mlp = self._linear(_gated(self._linear(normed, layer.gate_up, rows)), layer.down, rows)
            x, normed = _add_norm(x, mlp, base.norm if after is None else after.attention_norm, base.epsilon)
        losses: Tensor = _Losses.apply(normed, base.head, grown.targets, grown.chances)  # type: ignore[no-untyped-call]
        return losses

    def _linear(self, x: Tensor, group: _Group, rows: Sequence[slice]) -> Tensor:
        name = group.names[0]
        shares = [
            _Share(own, lora[name], gradient[name], scaling)
            for own, (lora, gradient, scaling) in zip(rows, self._adapters, strict=True)
        ]
        y: Tensor = _AdaptedLinear.apply(x, group, shares)  # type: ignore[no-untyped-call]
        return y

    def _attention(self, qkv: Tensor, layer: _Layer) -> Tensor:
        """qkv [T, (heads + 2 · kv) · d] → [T, heads · d]: a node sees those on its way from the root.

        In places, each group of query heads with its key and value head: [B · kv, groups · L, d] · [B · kv, d, L].
        """
        base, size = self._base, self._base.head_size
        (count, width), groups, kv = self._forest.nodes.shape, base.groups, base.heads // base.groups
        q, k, v = qkv.unflatten(1, (-1, size)).split((base.heads, kv, kv), 1)
        if layer.query_norm is not None and layer.key_norm is not None:
            q = _norm(q, layer.query_norm, base.epsilon)
            k = _norm(k, layer.key_norm, base.epsilon)
        turned = _rope(torch.cat((q, k), 1), self._cos, self._sin)
        rows = torch.cat((turned, v), 1).flatten(1)
        placed: Tensor = _ToPlaces.apply(rows, self._forest)  # type: ignore[no-untyped-call]
        q, k, v = placed.view(count, width, -1, size).split((base.heads, kv, kv), 2)
        q = q.unflatten(2, (kv, groups)).permute(0, 2, 3, 1, 4).reshape(count * kv, groups * width, size)
        k, v = (part.transpose(1, 2).reshape(count * kv, width, size) for part in (k, v))
        chances = _probabilities(q @ k.transpose(1, 2), self._mask, 1 / math.sqrt(size))
        mixed = (chances @ v).view(count, kv, groups, width, size).permute(0, 3, 1, 2, 4)
        mixed = mixed.reshape(count * width, base.heads * size)
        attended: Tensor = _FromPlaces.apply(mixed, self._forest)  # type: ignore[no-untyped-call]
        return attended
