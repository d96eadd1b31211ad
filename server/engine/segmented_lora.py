"""Turns a batch whose rows belong to different adapters into one pair of matrix products per adapter and layer (CPU).

vLLM's own operator copies both matrices of an adapter for every row. Here the rows are grouped once per batch, so that
a layer reads each adapter's weights once, in the model's own type, at the adapter's own rank; rows without an
adapter are not touched.

Shapes: n rows, `slots` adapters in a batch, R the rank of the buffers, r <= R the rank of one adapter. A layer that
packs several projections (q, k and v; gate and up) has a pair of buffers and a range of output columns for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Pair: TypeAlias = tuple[Tensor, Tensor]


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


class Trimmed:
    """Cuts the buffers of a layer to an adapter's own rank, once for each change of a buffer.

    Rows of A beyond the rank of the adapter are zero and add nothing. A buffer's version grows with every write to it.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Tensor, int, dict[int, Pair | None]]] = {}

    def pair(self, a: Tensor, b: Tensor, slot: int) -> Pair | None:
        """A [r, in] and B [out, r] of a slot of buffers [slots, 1, R, in], [slots, 1, out, R]; None where r is 0."""
        held, version, pairs = self._known.get(id(a), (None, -1, {}))
        if held is not a or version != a._version:
            pairs = {}
            self._known[id(a)] = (a, a._version, pairs)
        if slot not in pairs:
            rank = _rank(a[slot, 0])
            pairs[slot] = (a[slot, 0, :rank], b[slot, 0, :, :rank]) if rank else None
        return pairs[slot]


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


class SegmentedLora(PunicaWrapperCPU):  # type: ignore[misc] # vLLM's classes are Any to mypy
    """The operator that vLLM's LoRA layers call; the methods and their arguments are vLLM's."""

    def __init__(
        self, max_num_batched_tokens: int, max_batches: int, device: torch.device | str, **kwargs: Any
    ) -> None:
        super().__init__(max_num_batched_tokens, max_batches, device, **kwargs)
        self._token_segments: tuple[Segment, ...] = ()
        self._sampler_segments: tuple[Segment, ...] = ()
        self._trimmed = Trimmed()

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
        for segment in self._token_segments:
            rows = x[segment.rows]
            start = 0
            for a, b, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
                pair = self._trimmed.pair(a, b, segment.slot)
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
            pair = self._trimmed.pair(lora_a_stacked, lora_b_stacked, segment.slot)
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


def _times(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else x * scale


def _add(y: Tensor, rows: slice | Tensor, shrunk: Tensor, b: Tensor) -> None:
    """Adds shrunk [m, r] B^T to the m rows of y [n, out]; B [out, r]."""
    if isinstance(rows, slice):
        y[rows].addmm_(shrunk.to(b.dtype), b.t()) if y.dtype == b.dtype else y[rows].add_(linear(shrunk, b))
    else:
        y.index_add_(0, rows, linear(shrunk, b).to(y.dtype))
