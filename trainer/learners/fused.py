"""LoRA for Llama-shaped models, fast: each distinct prefix of a step is computed once, and products are fused.

Llama 2 and 3, SmolLM2, Mistral, Qwen 2 and 3 are one architecture:

    x ← embedding[token]
    x ← x + O(attention(rope(Q n), rope(K n), V n))    n = norm(x)
    x ← x + D(silu(G n) · U n)                         n = norm(x)
    loss = mean of -log softmax(head norm(x))[target]  over the answer tokens (LIFT eq. 1, and see `expectations`)

Each linear layer W is adapted: y = W x + s B A x, s = alpha / rank. Layers with the same input (Q, K, V; G, U) are one
product. `PeftLearner` is the reference for all of this.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer.examples.batches import Example
from trainer.learners.adapted_linear import Rows, adapted_linear
from trainer.learners.frozen import FrozenModel, Group, Turns
from trainer.learners.kernel_pieces import pieces
from trainer.learners.lora import Factors, Lora
from trainer.learners.pieces import Pieces
from trainer.learners.prefixes import ON_CPU, Forest, forest
from trainer.learners.primer import Primer
from trainer.learners.recorded import RecordedPasses
from trainer.learners.spectra import KeptSpectra
from trainer.learners.whitening import whiteners
from trainer.profiles import Hyperparameters

MODEL_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
PASS_TOKENS = 8192  # a token keeps about 0.5 MB for the backward pass of a 135M model, 4.5 MB for one of 8B
RECORDED_TOKENS = 4096  # of a pass on a GPU: a longer one takes longer than its launches, and much memory
LOGIT_ROWS = 256  # logits made at a time: vocabulary-sized rows leave the cache quickly


@dataclass(frozen=True, slots=True)
class Step:
    """An optimizer step of an adapter, on examples; `left`: see Hyperparameters.learning_rate_at."""

    adapter: "FusedAdapter"
    examples: Sequence[Example]
    left: float = 1.0

    @property
    def answer_tokens(self) -> int:
        """Of all examples."""
        return _answer_tokens(self.examples)


@dataclass(frozen=True, slots=True)
class Part:
    """Examples of an adapter that are computed in one pass; `share`: of the answer tokens of its whole step."""

    adapter: "FusedAdapter"
    examples: Sequence[Example]
    share: float


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
        base = self._base = FrozenModel.of(model)
        self._recorded = RecordedPasses(base, lambda grown, turns, own: _learn(base, [own], grown, turns))
        self._kept = kept

    @contextmanager
    def adapter(self, hyperparameters: Hyperparameters, primer: Primer | None = None) -> Iterator["FusedAdapter"]:
        """LoRA weights for the length of the block, fresh or begun at a primer.

        InvalidOption: `whitening` where no spectra are given.
        """
        whitened = whiteners(self._kept, hyperparameters.whitening, self._base.embedding)
        yield FusedAdapter(self, Lora(self._base, hyperparameters, whitened, primer))

    @staticmethod
    def unadapted() -> AbstractContextManager[object]:
        """See `Learner`; adapters are no part of the model here."""
        return nullcontext()

    def step(self, steps: Sequence[Step]) -> list[float]:
        """Makes steps of several adapters, each as if it were alone.

        Of each: mean loss per answer token before it (LIFT eq. 1), in nats.
        """
        losses = self.accumulate(steps, [step.answer_tokens for step in steps])
        for step in steps:
            step.adapter.lora.update(step.left)
        return losses

    def accumulate(self, steps: Sequence[Step], answer_tokens: Sequence[int]) -> list[float]:
        """Sets each adapter's gradients to those of its examples' loss, summed and divided by `answer_tokens`.

        These are more than the examples' own where others compute the rest of a step; none at all give zeros. Of each:
        that loss, in nats.
        """
        losses = {step.adapter: torch.zeros((), device=self._base.embedding.device) for step in steps}
        for adapter in losses:
            adapter.lora.gradients.zero_()
        # On a GPU a pass of one adapter is replayed, which is faster than launching one of several (`recorded`).
        together = not self._base.embedding.is_cuda
        for parts in _passes(steps, answer_tokens, together=together):
            for part, found in zip(parts, self.learned(parts), strict=True):
                losses[part.adapter] += found.mean() * part.share
        found_losses: list[float] = torch.stack(list(losses.values())).tolist()
        return found_losses

    def learned(self, parts: Sequence[Part]) -> list[Tensor]:
        """Adds to each adapter's gradients that of its examples' mean loss, times the share.

        Of each: the loss of each answer token of its examples in turn.
        """
        grown = forest([(part.examples, part.share) for part in parts])
        adapters = [part.adapter for part in parts]
        if len(adapters) == 1 and self._base.embedding.is_cuda and len(grown.tokens) <= RECORDED_TOKENS:
            losses = self._recorded(grown, adapters[0].lora)
        else:
            losses = _learn(self._base, [adapter.lora for adapter in adapters], *self._laid_out(grown))
        return [losses[rows] for rows in grown.tree_answers]

    def mean_losses(self, parts: Sequence[Part]) -> list[Tensor]:
        """Of each: the mean loss of its examples, times the share, with the present weights."""
        grown = forest([(part.examples, part.share) for part in parts])
        here, turns = self._laid_out(grown)
        losses = _Pass(self._base, [part.adapter.lora for part in parts], here, turns).losses() * here.weights
        return [losses[rows].sum() for rows in grown.tree_answers]

    def _laid_out(self, grown: Forest) -> tuple[Forest, Turns]:
        """The forest as a pass on the model's device takes it, and the turns of its positions."""
        device = self._base.embedding.device
        here = grown.to(device) if device.type == "cuda" else grown.padded(ON_CPU)
        return here, self._base.turns(here.positions)


class FusedAdapter:
    """One adapter in training."""

    def __init__(self, learner: FusedLearner, lora: Lora) -> None:
        self._learner = learner
        self.lora = lora

    def step(self, examples: Sequence[Example], left: float = 1.0) -> float:
        """See `Adapter`."""
        return self._learner.step([Step(self, examples, left)])[0]

    def gradients(self, examples: Sequence[Example]) -> tuple[dict[str, Tensor], float]:
        """Of the mean loss per answer token, by the weights under PEFT's names, fp32; and the loss, in nats."""
        step = Step(self, examples)
        (loss,) = self._learner.accumulate([step], [step.answer_tokens])
        named = self.lora.by_name(self.lora.gradients)
        return {name: gradient.to("cpu", torch.float32, copy=True) for name, gradient in named.items()}, loss

    @torch.no_grad()
    def loss(self, examples: Sequence[Example]) -> float:
        """See `Adapter`."""
        step = Step(self, examples)
        passes = _passes([step], [step.answer_tokens])
        return sum(float(mean) for parts in passes for mean in self._learner.mean_losses(parts))

    def loss_with(self, weights: Mapping[str, Tensor], examples: Sequence[Example]) -> float:
        """See `Adapter`."""
        with self.lora.holding(weights):
            return self.loss(examples)

    def weights(self) -> dict[str, Tensor]:
        """See `Adapter`."""
        named = self.lora.by_name(self.lora.weights)
        return {name: weight.to("cpu", torch.bfloat16, copy=True) for name, weight in named.items()}


def _answer_tokens(examples: Sequence[Example]) -> int:
    return sum(example.answer_tokens for example in examples)


def _passes(steps: Sequence[Step], answer_tokens: Sequence[int], *, together: bool = True) -> Iterator[list[Part]]:
    """The examples of steps in passes that fit into memory. `together`: several adapters may share a pass."""
    taken: list[Part] = []
    room = PASS_TOKENS
    for step, whole in zip(steps, answer_tokens, strict=True):
        for examples in _parts(step.examples):
            tokens = sum(len(example.tokens) for example in examples)
            if taken and (tokens > room or not together):
                yield taken
                taken, room = [], PASS_TOKENS
            taken.append(Part(step.adapter, examples, _answer_tokens(examples) / whole))
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


class _Losses(torch.autograd.Function):
    """hidden [T_a, d], head [V, d], targets, chances [T_a, K] → the loss of each answer token, fp32 [T_a].

    The gradient is made on the way, a few rows at a time: logits [T_a, V] would fill the memory for nothing.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, chances: Tensor, pieces: Pieces
    ) -> Tensor:
        gradient, losses = torch.empty_like(hidden), hidden.new_empty(len(hidden), dtype=torch.float32)
        wholes = (hidden, targets, chances, gradient, losses)
        for rows, wanted, chance, by_rows, of_rows in zip(*(w.split(LOGIT_ROWS) for w in wholes), strict=True):
            by_logits = pieces.divergence(rows @ head.t(), wanted, chance, of_rows)
            torch.mm(by_logits, head, out=by_rows)
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_losses: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * by_losses.unsqueeze(1).to(gradient.dtype), None, None, None, None


def _learn(base: FrozenModel, adapters: Sequence[Factors], grown: Forest, turns: Turns) -> Tensor:
    """Adds to the adapters' gradients that of the weighted losses; the loss of each answer token [T_a]."""
    losses = _Pass(base, adapters, grown, turns).losses()
    (losses * grown.weights).sum().backward()
    return losses.detach()


class _Pass:
    """One pass of prefix trees through the model, each tree with its own adapter."""

    def __init__(self, base: FrozenModel, adapters: Sequence[Factors], grown: Forest, turns: Turns) -> None:
        self._base, self._forest, self._pieces = base, grown, pieces(base, grown, turns)
        self._adapters = [(own.of_groups(own.weights), own.of_groups(own.gradients), own.scaling) for own in adapters]

    def losses(self) -> Tensor:
        """The loss of each answer token [T_a]."""
        base, grown, pieces = self._base, self._forest, self._pieces
        rows = grown.trees
        x = base.embedding[grown.tokens].requires_grad_()  # or nothing behind it would have gradients
        normed = pieces.norm(x, base.layers[0].attention_norm)
        for layer, after in zip(base.layers, [*base.layers[1:], None], strict=True):
            attended = pieces.attention(self._linear(normed, layer.qkv, rows), layer)
            if after is None:  # from here on only what predicts an answer is wanted
                x, attended = (each.index_select(0, grown.answers) for each in (x, attended))
                rows = grown.tree_answers
            x, normed = pieces.add_norm(x, self._linear(attended, layer.out, rows), layer.mlp_norm)
            mlp = self._linear(pieces.gated(self._linear(normed, layer.gate_up, rows)), layer.down, rows)
            x, normed = pieces.add_norm(x, mlp, base.norm if after is None else after.attention_norm)
        losses: Tensor = _Losses.apply(normed, base.head, grown.targets, grown.chances, pieces)  # type: ignore[no-untyped-call]
        return losses

    def _linear(self, x: Tensor, group: Group, rows: Sequence[slice]) -> Tensor:
        name = group.names[0]
        parts = [
            Rows(own, lora[name], gradient[name], scaling)
            for own, (lora, gradient, scaling) in zip(rows, self._adapters, strict=True)
        ]
        return adapted_linear(x, group, parts)
