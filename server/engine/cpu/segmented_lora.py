"""Turns a batch whose rows belong to different adapters into one pair of matrix products per adapter and layer (CPU).

vLLM's own operator copies both matrices of an adapter for every row. Here the rows are grouped once per batch, so that
a layer reads each adapter's weights once, in the model's own type, at the adapter's own rank; rows without an
adapter are not touched. Where an adapter has few rows, as when answers are written, or where the processor has tiles,
`lora_kernel` takes their place.

Shapes: n rows, r the rank of one adapter. A layer that packs several projections (q, k and v; gate and up) has a range
of output columns for each. Embeddings and the head have no adapters (`vllm_engine.LORA_MODULES`): vLLM's own operator,
which is inherited for them, would give rows without an adapter another's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from server.engine.cpu.lora_kernel import KernelRows, Numbers, lora_kernel, lora_tiles
from server.engine.cpu.lora_layers import Layer, Stack


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
        self.tokens = Batch()
        lora_kernel(), lora_tiles()  # compiled now, so that nobody waits for them

    def update_metadata(
        self,
        mapping: LoRAMapping,
        lora_index_to_id: list[int | None],
        max_loras: int,
        vocab_size: int,
        **kwargs: Any,
    ) -> None:
        """Groups the rows of a batch."""
        self._update_base_metadata(mapping, lora_index_to_id, max_loras, vocab_size)
        self.tokens = Batch(segments(mapping.index_mapping, lora_index_to_id))

    def split(self, layer: Layer) -> Split:
        """The rows of the batch, by how many an adapter has of them, with its present rank in that layer."""
        return self.tokens.split(layer.highest_ranks(self.tokens.slots), layer.few)

    def add_lora_linear(  # noqa: PLR0917 - vLLM passes them by position
        self,
        y: Tensor,
        x: Tensor,
        lora_a_stacked: Stack,
        lora_b_stacked: Stack,
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[Tensor, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds x A^T B^T · scale to y [n, out], times the adapter's own, in each projection's columns; x [n, in]."""
        if not self.tokens.segments:
            return
        layer, many = lora_a_stacked.layer, self.tokens.segments
        kernel = lora_kernel() if _fits_kernel(y, x, layer.dtype) else None
        if kernel is not None:
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
                    shrunk = _times(linear(rows, pair.a), scale * pair.scale)
                    _add(y[:, start : start + width], segment.rows, shrunk, pair.b)
                start += width


def _fits_kernel(y: Tensor, x: Tensor, of_adapters: torch.dtype) -> bool:
    of_bf16 = y.dtype == x.dtype == of_adapters == torch.bfloat16
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
