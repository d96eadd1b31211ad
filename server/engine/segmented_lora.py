"""Turns a batch whose rows belong to different adapters into one pair of matrix products per adapter and layer (CPU).

vLLM's own operator copies both matrices of an adapter for every row. Here the rows are grouped once per batch, so that
a layer reads each adapter's weights once, in the model's own type, at the adapter's own rank; rows without an
adapter are not touched. Where an adapter has few rows, as when answers are written, `row_kernel` takes their place.

Shapes: n rows, `slots` adapters in a batch, R the rank of the buffers, r <= R the rank of one adapter. A layer that
packs several projections (q, k and v; gate and up) has a pair of buffers and a range of output columns for each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from server.engine.row_kernel import Bits, Numbers, add_rows

Pair: TypeAlias = tuple[Tensor, Tensor]

FEW_ROWS = 8
"""So many rows of one adapter are cheaper one by one than as a product."""

UNKNOWN = -1

FEW_THREADS = 4
"""The rows are added by one thread. It was measured on two cores; where there are many, products use them all."""


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


class Buffer:
    """The weights of a layer's adapters, cut to the rank of each, once for each change of them.

    A [slots, 1, R, in], B [slots, 1, out, R]. Rows of A beyond the rank of the adapter are zero and add nothing. A
    tensor's version grows with every write to it.
    """

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self._b = a, b
        self._version = -1
        self._ranks: Numbers = np.empty(len(a), np.int64)

    def pair(self, slot: int) -> Pair | None:
        """A [r, in] and B [out, r] of a slot; None where r is 0."""
        rank = int(self.ranks((slot,))[slot])
        return (self.a[slot, 0, :rank], self._b[slot, 0, :, :rank]) if rank else None

    def ranks(self, slots: Iterable[int]) -> Numbers:
        """The rank of each slot; known for the slots that are asked for."""
        if self._version != self.a._version:
            self._version = self.a._version
            self._ranks.fill(UNKNOWN)
        for slot in slots:
            if self._ranks[slot] == UNKNOWN:
                self._ranks[slot] = _rank(self.a[slot, 0])
        return self._ranks

    @cached_property
    def bits(self) -> tuple[Bits, Bits]:
        """A [slots, R, in] and B [slots, out, R], which must be bf16, as their bits in the same memory."""
        return _bits(self.a[:, 0]), _bits(self._b[:, 0])


class Buffers:
    """The buffers of all layers, each found by its A."""

    def __init__(self) -> None:
        self._known: dict[int, Buffer] = {}

    def of(self, a: Tensor, b: Tensor) -> Buffer:
        """The buffer of stacked A and B."""
        known = self._known.get(id(a))
        if known is None or known.a is not a:
            known = self._known[id(a)] = Buffer(a, b)
        return known


def _bits(weights: Tensor) -> Bits:
    found: Bits = weights.view(torch.uint16).numpy()
    return found


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
class Rows:
    """Single rows of a batch and the slots of their adapters."""

    rows: Numbers
    slots: Numbers
    distinct: tuple[int, ...]


def few(found: Sequence[Segment]) -> tuple[Rows | None, tuple[Segment, ...]]:
    """The segments of few rows, as single rows, and the other segments."""
    light = [segment for segment in found if _count(segment.rows) <= FEW_ROWS]
    if not light:
        return None, tuple(found)
    rows = [np.arange(s.rows.start, s.rows.stop) if isinstance(s.rows, slice) else s.rows.numpy() for s in light]
    slots = [np.full(len(of), segment.slot) for segment, of in zip(light, rows, strict=True)]
    single = Rows(
        rows=np.concatenate(rows).astype(np.int64),
        slots=np.concatenate(slots).astype(np.int64),
        distinct=tuple(segment.slot for segment in light),
    )
    return single, tuple(segment for segment in found if _count(segment.rows) > FEW_ROWS)


def _count(rows: slice | Tensor) -> int:
    return int(rows.stop - rows.start) if isinstance(rows, slice) else len(rows)


class SegmentedLora(PunicaWrapperCPU):  # type: ignore[misc] # vLLM's classes are Any to mypy
    """The operator that vLLM's LoRA layers call; the methods and their arguments are vLLM's."""

    def __init__(
        self, max_num_batched_tokens: int, max_batches: int, device: torch.device | str, **kwargs: Any
    ) -> None:
        super().__init__(max_num_batched_tokens, max_batches, device, **kwargs)
        self._token_segments: tuple[Segment, ...] = ()
        self._sampler_segments: tuple[Segment, ...] = ()
        self._single: Rows | None = None
        self._many: tuple[Segment, ...] = ()
        self._buffers = Buffers()

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
        self._token_segments = segments(mapping.index_mapping, lora_index_to_id)
        self._single, self._many = few(self._token_segments)
        self._sampler_segments = segments(mapping.prompt_mapping, lora_index_to_id)

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
        if not self._token_segments:
            return
        layer = [self._buffers.of(a, b) for a, b in zip(lora_a_stacked, lora_b_stacked, strict=True)]
        many = self._token_segments
        if self._single is not None and _fits_kernel(y, x, lora_a_stacked[0]):
            _add_single(y, x, layer, self._single, scale, output_slices)
            many = self._many
        for segment in many:
            rows = x[segment.rows]
            start = 0
            for weights, width in zip(layer, output_slices, strict=True):
                pair = weights.pair(segment.slot)
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
        for segment in self._sampler_segments:
            pair = self._buffers.of(lora_a_stacked, lora_b_stacked).pair(segment.slot)
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
            for segment in self._token_segments:
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
            for segment in self._token_segments:
                rows = shrunk[segment.rows].to(b.dtype)
                if add_inputs:
                    _add(into, segment.rows, rows, b[segment.slot, 0])
                else:
                    into[segment.rows] = linear(rows, b[segment.slot, 0])
            start += width


def _fits_kernel(y: Tensor, x: Tensor, a: Tensor) -> bool:
    of_bf16 = y.dtype == x.dtype == a.dtype == torch.bfloat16
    return of_bf16 and y.is_contiguous() and x.is_contiguous() and torch.get_num_threads() <= FEW_THREADS


def _add_single(  # noqa: PLR0917 - what vLLM passes, and the rows
    y: Tensor, x: Tensor, layer: Sequence[Buffer], single: Rows, scale: float, widths: Sequence[int]
) -> None:
    """As `add_lora_linear`, for single rows."""
    y_bits, x_bits = _bits(y), _bits(x)
    start = 0
    for buffer, width in zip(layer, widths, strict=True):
        a, b = buffer.bits
        add_rows(y_bits, x_bits, single.rows, single.slots, buffer.ranks(single.distinct), a, b, start, scale)
        start += width


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
