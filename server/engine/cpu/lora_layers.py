"""Leaves adapters where they were read: on CPUs vLLM's linear layers keep no copies of them.

vLLM gives a layer buffers for as many adapters as a batch may have, and copies each adapter in when it is wanted, while
everybody's answers wait. On a CPU both are the same memory, so a slot of a layer here holds the tensors themselves:
pages of the adapter's file where that is of the model's type, which the system reads once for all.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from vllm.lora.layers import MergedColumnParallelLinearWithLoRA
from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA
from vllm.lora.model_manager import LoRAModelManager

from server.engine.cpu.lora_kernel import KernelLayer, LoraKernel, lora_tiles

FEW = 2048
"""An adapter whose rows, times its rank, are not more is faster through the kernel than otherwise (docs/why.md)."""

FEW_FOR_TILES = 256
"""The same, where matrix tiles are the other way."""

LAYERS = (BaseLinearLayerWithLoRA, MergedColumnParallelLinearWithLoRA)


class Scaled(NamedTuple):
    """B before it is multiplied, so that nobody has to write to a file's pages."""

    b: Tensor
    scale: float


class Pair(NamedTuple):
    """One projection of an adapter: x A^T B^T · scale; A [r, in], B [out, r]."""

    a: Tensor
    b: Tensor
    scale: float


Weights: TypeAlias = Tensor | Scaled | None
Slot: TypeAlias = tuple[Pair | None, ...]


class Layer:
    """A linear layer's adapters, in their slots.

    A layer that packs several projections (q, k and v; gate and up) has a pair for each; none where an adapter leaves
    it alone. `version` grows with every change.
    """

    def __init__(self, slots: int, inputs: int, widths: Sequence[int], dtype: torch.dtype, max_rank: int) -> None:
        self.version = 0
        self.kernel = KernelLayer(slots, inputs, widths)
        self.dtype = dtype
        self._inputs, self._widths, self._max_rank = inputs, tuple(widths), max_rank
        self._slots: list[Slot] = [self._nothing] * slots

    @property
    def _nothing(self) -> Slot:
        return (None,) * len(self._widths)

    def put(self, slot: int, a: Sequence[Tensor | None], b: Sequence[Weights]) -> None:
        """An adapter into a slot: A and B of each projection. ValueError: they do not fit."""
        pairs = tuple(self._pair(*of_one) for of_one in zip(a, b, self._widths, strict=True))
        self.clear(slot)
        self._slots[slot] = pairs
        for projection, pair in enumerate(pairs):
            if pair is not None:
                self.kernel.put(projection, slot, *pair)

    def clear(self, slot: int) -> None:
        """Forgets the adapter of a slot."""
        self.version += 1
        self._slots[slot] = self._nothing
        self.kernel.clear(slot)

    def pairs(self, slot: int) -> Slot:
        """The adapter of a slot."""
        return self._slots[slot]

    def highest_ranks(self, slots: Sequence[int]) -> tuple[int, ...]:
        """Of each slot the highest rank of a projection."""
        return tuple(self.kernel.ranks[:, slots].max(0).tolist())

    @property
    def tiles(self) -> LoraKernel | None:
        """The kernel for many rows, where it takes the layer's widths."""
        return lora_tiles() if self.kernel.fits_tiles else None

    @property
    def few(self) -> int:
        """So many rows of an adapter, times its rank, are faster through the kernel for few."""
        return FEW_FOR_TILES if self.tiles and self.tiles.on_matrix_tiles else FEW

    def _pair(self, a: Tensor | None, b: Weights, width: int) -> Pair | None:
        if a is None or b is None:
            return None
        b, scale = b if isinstance(b, Scaled) else (b, 1.0)
        rank = len(a)
        if rank > self._max_rank or a.shape != (rank, self._inputs) or b.shape != (width, rank):
            raise ValueError(f"A {list(a.shape)} and B {list(b.shape)} are no adapter of {self._inputs} to {width}")
        return Pair(a.to(self.dtype).contiguous(), b.to(self.dtype).contiguous(), scale) if rank else None


class Stack(tuple[Tensor, ...]):
    """What stands in the place of a layer's buffers: their shapes without memory, and what its slots hold."""

    layer: Layer

    @classmethod
    def of(cls, buffers: Sequence[Tensor], layer: Layer) -> "Stack":
        """`buffers`: vLLM's own."""
        stack = cls(buffer.new_zeros(1).expand(buffer.shape) for buffer in buffers)
        stack.layer = layer
        return stack


def register() -> None:
    """Has vLLM's linear layers keep adapters so. Repeated calls change nothing."""
    if registered():
        return
    for kind in LAYERS:
        kind.create_lora_weights = _creating(kind.create_lora_weights)
        kind.set_lora = _set_lora
    BaseLinearLayerWithLoRA.reset_lora = _reset_lora
    LoRAModelManager._deactivate_adapter = _deactivating(LoRAModelManager._deactivate_adapter)


def registered() -> bool:
    """Whether it has been done in this process."""
    return hasattr(LoRAModelManager._deactivate_adapter, "__wrapped__")


def _creating(vllms: Callable[..., None]) -> Callable[..., None]:
    """vLLM's making of a layer's buffers, behind which their memory is given up again."""

    @wraps(vllms)
    def create_lora_weights(module: Any, slots: int, config: Any, *more: Any) -> None:
        if module.tp_size > 1:
            raise ValueError("adapters of a model that is shared by several CPUs' processes are not served")
        vllms(module, slots, config, *more)
        a, b = module.lora_a_stacked, module.lora_b_stacked
        widths = [of_one.shape[2] for of_one in b]
        layer = Layer(slots, a[0].shape[3], widths, a[0].dtype, config.max_lora_rank)
        module.lora_a_stacked, module.lora_b_stacked = Stack.of(a, layer), Stack.of(b, layer)

    return create_lora_weights


def _set_lora(module: Any, slot: int, a: Any, b: Any) -> None:
    packed = isinstance(a, list)
    module.lora_a_stacked.layer.put(slot, a if packed else [a], b if packed else [b])


def _reset_lora(module: Any, slot: int) -> None:
    module.lora_a_stacked.layer.clear(slot)


def _deactivating(vllms: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
    """vLLM's leaving of a slot, which would keep an adapter's file on the disk until another one comes there."""

    @wraps(vllms)
    def deactivate(manager: Any, number: int) -> None:
        slots = manager.lora_index_to_id
        if number in slots:
            for module in manager.modules.values():
                module.reset_lora(slots.index(number))
        vllms(manager, number)

    return deactivate
