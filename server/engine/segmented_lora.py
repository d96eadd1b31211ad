"""Turns a batch whose rows belong to different adapters into one pair of matrix products per adapter and layer (CPU).

vLLM's own operator copies both matrices of an adapter for every row. Here the rows are grouped once per batch, so that
a layer reads each adapter's weights once, in the model's own type, at the adapter's own rank; rows without an
adapter are not touched. Where an adapter has few rows, as when answers are written, or where the processor has tiles,
`lora_kernel` takes their place.

Shapes: n rows, `slots` adapters in a batch, R the rank of the buffers, r <= R the rank of one adapter. A layer that
packs several projections (q, k and v; gate and up) has a pair of buffers and a range of output columns for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from server.engine.lora_kernel import KernelLayer, KernelRows, LoraKernel, Numbers, lora_kernel, lora_tiles

Pair: TypeAlias = tuple[Tensor, Tensor]

FEW = 2048
"""An adapter whose rows, times its rank, are not more is faster through the kernel than otherwise (docs/why.md)."""

FEW_FOR_TILES = 256
"""The same, where matrix tiles are the other way."""

UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The rows of one adapter: a slice where they stand together, their indices where they don't."""

    slot: int
    rows: slice | Tensor


def segments(adapter_of_row: Sequence[int], adapter_in_slot: Sequence[int | None]) -> tuple[Segment, ...]:
    """The rows of each adapter in a batch; 0 in `adapter_of_row` marks rows without one."""
    adapters = np.asarray(adapter_of_row, dtype=np.int64)
    return tuple(
        Segment(slot=adapter_in_slot.index(int(adapter)), rows=_rows(np.flatnonzero(adapters == adapter)))
        for adapter in np.unique(adapters)
        if adapter > 0
    )


def _rows(indices: "np.ndarray[Any, np.dtype[np.int64]]") -> slice | Tensor:
    first, last = int(indices[0]), int(indices[-1])
    return slice(first, last + 1) if last - first + 1 == len(indices) else torch.from_numpy(indices)


class Layer:
    """The weights of the adapters of one layer, cut to the rank of each, which is found once for each change of them.

    Of each projection: A [slots, 1, R, in], B [slots, 1, out, R]. Rows of A beyond the rank of the adapter are zero and
    add nothing. A tensor's version grows with every write to it.
    """

    def __init__(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> None:
        self.a, self._b = tuple(a), tuple(b)
        self._versions: list[int] = []
        self._ranks: Numbers = np.full((len(a), len(a[0])), UNKNOWN, np.int64)
        self._asked: tuple[int, ...] = ()
        self._highest: tuple[int, ...] = ()

    def highest_ranks(self, slots: tuple[int, ...]) -> tuple[int, ...]:
        """Of each slot the highest rank of a projection."""
        versions = [of_one._version for of_one in self.a]
        if versions != self._versions:
            self._versions, self._asked = versions, ()
            self._ranks.fill(UNKNOWN)
        if slots != self._asked:
            for ranks, of_one in zip(self._ranks, self.a, strict=True):
                for slot in slots:
                    if ranks[slot] == UNKNOWN:
                        ranks[slot] = _rank(of_one[slot, 0])
            self._asked, self._highest = slots, tuple(map(int, self._ranks[:, slots].max(0)))
        return self._highest

    def pairs(self, slot: int) -> list[Pair | None]:
        """A [r, in] and B [out, r] of each projection; None where r is 0. `highest_ranks` was asked of the slot."""
        ranks = self._ranks[:, slot].tolist()
        return [
            (a[slot, 0, :rank], b[slot, 0, :, :rank]) if rank else None
            for rank, a, b in zip(ranks, self.a, self._b, strict=True)
        ]

    @cached_property
    def kernel(self) -> KernelLayer:
        """The same for the kernel."""
        return KernelLayer(self.a, self._b, self._ranks)

    @cached_property
    def tiles(self) -> LoraKernel | None:
        """The kernel for many rows, where it takes the layer's widths."""
        return lora_tiles() if self.kernel.fits_tiles else None

    @property
    def few(self) -> int:
        """So many rows of an adapter, times its rank, are faster through the kernel for few."""
        return FEW_FOR_TILES if self.tiles and self.tiles.on_matrix_tiles else FEW


class Layers:
    """All layers, each found by its first A."""

    def __init__(self) -> None:
        self._known: dict[int, Layer] = {}

    def of(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Layer:
        """The layer of stacked A and B."""
        known = self._known.get(id(a[0]))
        if known is None or known.a[0] is not a[0]:
            known = self._known[id(a[0])] = Layer(a, b)
        return known


def _rank(a: Tensor) -> int:
    """One more than the last row of A [R, in] that is not zero.

    Everybody's next token waits for this after each load, so the bytes are looked at instead of the numbers, and the
    last row first. A negative zero is taken for a number, which changes no result.
    """
    rows = a.view(torch.uint8).numpy()
    if rows[-1].any():
        return len(rows)
    used = np.flatnonzero(rows.any(axis=1))
    return int(used[-1]) + 1 if len(used) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The rows of adapters that have few of them, and those of the others: for tiles, and for products."""

    few: KernelRows | None
    many: KernelRows | None
    segments: tuple[Segment, ...]


class Batch:
    """The adapters of the rows of a batch."""

    def __init__(self, segments: tuple[Segment, ...] = ()) -> None:
        self.segments = segments
        self.slots = tuple(segment.slot for segment in segments)
        self._split: dict[tuple[tuple[int, ...], int], Split] = {}

    def split(self, ranks: tuple[int, ...], most: int) -> Split:
        """With these ranks of the segments' adapters; few: at most so many rows times ranks."""
        found = self._split.get((ranks, most))
        if found is None:
            sizes = [len(_indices(segment.rows)) * rank for segment, rank in zip(self.segments, ranks, strict=True)]
            few = [segment for segment, size in zip(self.segments, sizes, strict=True) if size <= most]
            many = [segment for segment, size in zip(self.segments, sizes, strict=True) if size > most]
            found = Split(few=_kernel_rows(few), many=_kernel_rows(many), segments=tuple(many))
            self._split[ranks, most] = found
        return found


def _kernel_rows(segments: Sequence[Segment]) -> KernelRows | None:
    return KernelRows([(segment.slot, _indices(segment.rows)) for segment in segments]) if segments else None


def _indices(rows: slice | Tensor) -> Numbers:
    found: Numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows.numpy()
    return found


class SegmentedLora(PunicaWrapperCPU):  # type: ignore[misc] # vLLM's classes are Any to mypy
    """The operator that vLLM's LoRA layers call; the methods and their arguments are vLLM's."""

    def __init__(
        self, max_num_batched_tokens: int, max_batches: int, device: torch.device | str, **kwargs: Any
    ) -> None:
        super().__init__(max_num_batched_tokens, max_batches, device, **kwargs)
        self.tokens, self._sampled = Batch(), Batch()
        self._layers = Layers()
        lora_kernel(), lora_tiles()  # compiled now, so that nobody waits for them

    def update_metadata(
        self,
        mapping: LoRAMapping,
        lora_index_to_id: list[int | None],
        max_loras: int,
        vocab_size: int,
        **kwargs: Any,
    ) -> None:
        """Groups the rows of a batch: those of the layers, and those that are sampled from."""
        self._update_base_metadata(mapping, lora_index_to_id, max_loras, vocab_size)
        self.tokens = Batch(segments(mapping.index_mapping, lora_index_to_id))
        self._sampled = Batch(segments(mapping.prompt_mapping, lora_index_to_id))

    def layer(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Layer:
        """The layer of stacked A and B."""
        return self._layers.of(a, b)

    def split(self, layer: Layer) -> Split:
        """The rows of the batch, by how many an adapter has of them, with its present rank in that layer."""
        return self.tokens.split(layer.highest_ranks(self.tokens.slots), layer.few)

    def add_lora_linear(  # noqa: PLR0917 - vLLM passes them by position
        self,
        y: Tensor,
        x: Tensor,
        lora_a_stacked: tuple[Tensor, ...],
        lora_b_stacked: tuple[Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[Tensor, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds x A^T B^T · scale to y [n, out], in the columns of each packed projection; x [n, in]."""
        if not self.tokens.segments:
            return
        layer, many = self.layer(lora_a_stacked, lora_b_stacked), self.tokens.segments
        kernel = lora_kernel() if _fits_kernel(y, x, lora_a_stacked[0]) else None
        if kernel is None:
            layer.highest_ranks(self.tokens.slots)
        else:
            split = self.split(layer)
            if split.few is not None:
                kernel(y, x, layer.kernel, split.few, scale)
            if layer.tiles and split.many is not None:
                layer.tiles(y, x, layer.kernel, split.many, scale)
            many = () if layer.tiles else split.segments
        for segment in many:
            rows = x[segment.rows]
            start = 0
            for pair, width in zip(layer.pairs(segment.slot), output_slices, strict=True):
                if pair is not None:
                    _add(y[:, start : start + width], segment.rows, _times(linear(rows, pair[0]), scale), pair[1])
                start += width

    def add_lora_logits(
        self,
        y: Tensor,
        x: Tensor,
        lora_a_stacked: Tensor,
        lora_b_stacked: Tensor,
        scale: float,
        *,
        buffer: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds x A^T B^T · scale to the logits y [n, vocab] of the rows that are sampled from; x [n, hidden]."""
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        layer = self._layers.of((lora_a_stacked,), (lora_b_stacked,))
        layer.highest_ranks(self._sampled.slots)
        for segment in self._sampled.segments:
            (pair,) = layer.pairs(segment.slot)
            if pair is not None:
                shrunk = _times(linear(x[segment.rows], pair[0]), scale)
                _add(y[:, : pair[1].shape[0]], segment.rows, shrunk, pair[1])

    def add_lora_embedding(
        self, y: Tensor, x: Tensor, lora_b_stacked: Tensor, add_inputs: bool = True, **kwargs: Any
    ) -> None:
        """Adds x B^T to the embeddings y [n, hidden]; x [n, R] are the rows of A that the tokens chose."""
        self.add_expand(y, (x,), (lora_b_stacked,), (y.shape[-1],), add_inputs=add_inputs, **kwargs)

    def add_shrink(
        self,
        y: tuple[Tensor, ...] | Tensor,
        x: Tensor,
        lora_a_stacked: tuple[Tensor, ...],
        scale: float,
        **kwargs: Any,
    ) -> None:
        """Writes x A^T · scale to y[i] [n, R] for each projection i; x [n, in]."""
        x = x.view(-1, x.shape[-1])
        for into, a in zip(y, lora_a_stacked, strict=True):
            for segment in self.tokens.segments:
                into[segment.rows] = _times(linear(x[segment.rows], a[segment.slot, 0]), scale).to(into.dtype)

    def add_expand(  # noqa: PLR0917
        self,
        y: Tensor,
        x: tuple[Tensor, ...] | Tensor,
        lora_b_stacked: tuple[Tensor, ...],
        output_slices: tuple[int, ...],
        offset_start: int = 0,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """Adds x[i] B^T to the columns of projection i in y [n, out] (or writes it there); x[i] [n, R]."""
        y = y.view(-1, y.shape[-1])
        start = offset_start
        for shrunk, b, width in zip(x, lora_b_stacked, output_slices, strict=True):
            into = y[:, start : start + width]
            for segment in self.tokens.segments:
                rows = shrunk[segment.rows].to(b.dtype)
                if add_inputs:
                    _add(into, segment.rows, rows, b[segment.slot, 0])
                else:
                    into[segment.rows] = linear(rows, b[segment.slot, 0])
            start += width


def _fits_kernel(y: Tensor, x: Tensor, a: Tensor) -> bool:
    of_bf16 = y.dtype == x.dtype == a.dtype == torch.bfloat16
    return of_bf16 and y.is_contiguous() and x.is_contiguous()


def _times(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else x * scale


def _add(y: Tensor, rows: slice | Tensor, shrunk: Tensor, b: Tensor) -> None:
    """Adds shrunk [m, r] B^T to the m rows of y [n, out]; B [out, r]."""
    if isinstance(rows, Tensor):  # index_add_ would add one row after the other, which takes three times as long
        chosen = y.index_select(0, rows)
        _add(chosen, slice(None), shrunk, b)
        y.index_copy_(0, rows, chosen)
    elif y.dtype == b.dtype:
        y[rows].addmm_(shrunk.to(b.dtype), b.t())
    else:
        y[rows].add_(linear(shrunk, b))
