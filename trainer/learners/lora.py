"""The weights of one adapter and the optimizer that changes them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from storage.tensor_names import a_of, b_of
from trainer.learners.compiled import compiled_on_gpus
from trainer.learners.frozen import FrozenModel, Group
from trainer.learners.kernels import Kernels, kernels
from trainer.learners.placement import sent
from trainer.learners.primer import Primer
from trainer.learners.whitening import Whitener
from trainer.profiles import Hyperparameters

BETAS = (0.9, 0.999)
EPSILON = 1e-8
UPDATE_WEIGHTS = 1 << 20  # updated at a time on CPUs: what eight passes over them touch stays in the cache


@dataclass(frozen=True, slots=True)
class Adapted:
    """A [members · rank, d_in] and B [sum of d_out, rank] of a group of linear layers, or their gradients."""

    a: Tensor
    b: Tensor


class Factors:
    """The A and B of every group of linear layers as a pass reads them, and what it adds their gradients to.

    Two flat buffers in the base's type, `weights` and `gradients`, zeros at first. s = `scaling`.
    """

    def __init__(self, base: FrozenModel, rank: int, scaling: float) -> None:
        self.rank, self.scaling = rank, scaling
        of_layers = [(layer.qkv, layer.out, layer.gate_up, layer.down) for layer in base.layers]
        self._groups = [group for of_layer in of_layers for group in of_layer]
        self._layer_sizes = [sum(_size(group, rank) for group in of_layer) for of_layer in of_layers]
        size = sum(self._layer_sizes)
        self.weights, self.gradients = base.embedding.new_zeros(size), base.embedding.new_zeros(size)

    def of_groups(self, flat: Tensor) -> dict[str, Adapted]:
        """A flat buffer as the A and B of each group, by the name of the group's first layer."""
        rank, rest = self.rank, flat
        adapted = {}
        for group in self._groups:
            d_out, d_in = group.weight.shape
            sizes = len(group.names) * rank * d_in, d_out * rank
            a, b, rest = rest.split([*sizes, len(rest) - sum(sizes)])
            adapted[group.names[0]] = Adapted(a.view(-1, d_in), b.view(d_out, rank))
        return adapted

    def by_name(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat buffer as the A and B of each linear layer, under PEFT's names."""
        named = {}
        for group, adapted in zip(self._groups, self.of_groups(flat).values(), strict=True):
            for name, a, b in zip(group.names, adapted.a.split(self.rank), adapted.b.split(group.outputs), strict=True):
                named[a_of(name)], named[b_of(name)] = a, b
        return named


def _size(group: Group, rank: int) -> int:
    """How many numbers A and B of a group have."""
    return rank * (len(group.names) * group.weight.shape[1] + len(group.weight))


class Lora(Factors):
    """The weights of one adapter and their optimizer.

    `_masters` and the moments are flat buffers too, in fp32. Where a group has a whitener, its A has masters and
    moments of A' (`whitening`).
    """

    def __init__(
        self,
        base: FrozenModel,
        hyperparameters: Hyperparameters,
        whiteners: Mapping[str, Whitener],
        primer: Primer | None = None,
    ) -> None:
        """A random by the seed, B zero; with a primer, what it says of both."""
        super().__init__(base, hyperparameters.rank, hyperparameters.scaling)
        self.hyperparameters = hyperparameters
        like = self.weights
        self._masters = torch.zeros(len(like), device=like.device)
        self._moments = self._masters.new_zeros(2, len(like))
        generator = torch.Generator(like.device).manual_seed(hyperparameters.seed)
        for adapted in self.of_groups(self._masters).values():
            bound = 1 / math.sqrt(adapted.a.shape[1])  # as torch and PEFT initialise a linear layer
            adapted.a.uniform_(-bound, bound, generator=generator)
        if primer:
            primer.begin(self.by_name(self._masters), hyperparameters, whiteners)
        of_weights, of_gradients = self.of_groups(self.weights), self.of_groups(self.gradients)
        self._whitened = [  # in the type of what they are for: a product in fp32 would be rounded to it
            (whiteners[name].to(like.dtype), of_weights[name].a, of_gradients[name].a)
            for name in of_weights
            if name in whiteners
        ]
        self._steps = 0
        self._take_over()

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
        """Behind a copy of the masters: A' becomes A."""
        for whitener, weights, _ in self._whitened:
            whitener.over(weights)

    def update(self, left: float) -> None:
        """One step of AdamW without decay, on gradients clipped by their norm."""
        for whitener, _, gradients in self._whitened:
            whitener.over(gradients)
        rate = self.hyperparameters.learning_rate_at(self._steps, left)
        self._steps += 1
        seen = [1 - beta**self._steps for beta in BETAS]  # what the moments, which began at zero, have seen
        rate, widen = rate / seen[0], 1 / math.sqrt(seen[1])
        run = kernels(self.gradients.dtype) if self.gradients.is_cpu else None
        if run:
            self._update_by_kernels(run, rate, widen)
        else:
            self._update_by_torch(rate, widen)
        self._whiten()

    def _update_by_kernels(self, run: Kernels, rate: float, widen: float) -> None:
        norm = math.sqrt(run("sum_of_squares", self.gradients, len(self.gradients)))
        clip = min(self.hyperparameters.clip_norm / (norm + 1e-6), 1.0)
        for flats, share in self._parts():
            run("update", *flats, len(flats[0]), clip, rate * share, widen, *BETAS, EPSILON)

    def _update_by_torch(self, rate: float, widen: float) -> None:
        norm = torch.linalg.vector_norm(self.gradients, dtype=torch.float32)
        clip = (self.hyperparameters.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        parts = self._parts()
        rates = sent(torch.tensor([[rate * share, widen] for _, share in parts]), clip.device)
        for (flats, _), of_part in zip(parts, rates, strict=True):
            numbers = torch.cat((clip.view(1), of_part))
            at_once = len(flats[0]) if clip.is_cuda else UPDATE_WEIGHTS
            for masters, weights, gradients, *moments in zip(*(flat.split(at_once) for flat in flats), strict=True):
                _update(masters, weights, gradients, moments, numbers)

    def _parts(self) -> list[tuple[tuple[Tensor, ...], float]]:
        """Masters, weights, gradients and moments of what has the same share of the learning rate, and that share."""
        flats = (self._masters, self.weights, self.gradients, *self._moments)
        decay = self.hyperparameters.layerwise_decay
        if decay == 1:
            return [(flats, 1.0)]
        layers = list(zip(*(flat.split(self._layer_sizes) for flat in flats), strict=True))
        return [(of_layer, decay**above) for of_layer, above in zip(layers, reversed(range(len(layers))), strict=True)]


@compiled_on_gpus
def _update(masters: Tensor, weights: Tensor, gradients: Tensor, moments: Sequence[Tensor], numbers: Tensor) -> None:
    """AdamW in place; numbers: clipping factor, corrected rate, correction of the second moment."""
    (first, second), (clip, rate, widen) = moments, numbers
    gradient = gradients.float() * clip
    first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    masters.sub_(rate * first / (second.sqrt() * widen + EPSILON))
    weights.copy_(masters)
