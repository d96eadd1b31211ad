"""Reads safetensors files: eight bytes of header length, the header as JSON, the tensors' bytes without a gap.

It takes less than the library of that name: tensors of two dimensions, of the types that adapters have.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storage.strict import parsed, require

MAX_HEADER_BYTES = 8 << 20
LENGTH_BYTES = 8  # of the header, little-endian, in front of it
_VALUES_AT_ONCE = 1 << 22
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a file: its bytes from `start` to `end`, counted from the file's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path) -> list[Tensor]:
    """The tensors of a file, in the order of their bytes. RevisionRejected."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        fits = size >= LENGTH_BYTES and 2 <= length <= min(MAX_HEADER_BYTES, size - LENGTH_BYTES)
        require(fits, "the weights' header has an impossible length")
        content = file.read(length)
    require(content.startswith(b"{"), "the weights' header is malformed")
    header = parsed(content, path.name)
    _check_metadata(header.pop("__metadata__", {}))
    data_start = LENGTH_BYTES + length
    tensors = [_tensor(name, entry, data_start) for name, entry in header.items()]
    tensors.sort(key=lambda tensor: tensor.start)
    position = data_start
    for tensor in tensors:
        require(tensor.start == position, "tensors overlap, or leave a gap", tensor=tensor.name[:120])
        position = tensor.end
    require(position == size, "the weights are not as long as their header says")
    return tensors


def _check_metadata(metadata: Any) -> None:
    plain = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    require(plain, "the weights' metadata are not text")


def _tensor(name: str, entry: Any, data_start: int) -> Tensor:
    well_formed = isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
    require(well_formed, "the weights' header is malformed", tensor=name[:120])
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    require(
        isinstance(dtype, str) and dtype in _ITEM_BYTES, "a tensor has a type that is not allowed", tensor=name[:120]
    )
    for numbers in (shape, offsets):
        sound = (
            isinstance(numbers, list)
            and len(numbers) == 2
            and all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
        )
        require(sound, "the weights' header is malformed", tensor=name[:120])
    start, end = offsets
    require(end - start == shape[0] * shape[1] * _ITEM_BYTES[dtype], "a tensor's size is not that of its shape")
    return Tensor(name=name, dtype=dtype, shape=tuple(shape), start=data_start + start, end=data_start + end)


def values(path: Path, tensor: Tensor) -> Iterator[np.ndarray[Any, Any]]:
    """A tensor's values, piece by piece; those of BF16 as their 16 bits. RevisionRejected: the file became shorter."""
    kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor.dtype]
    left = math.prod(tensor.shape)
    with path.open("rb") as file:
        file.seek(tensor.start)
        while left:
            piece = np.fromfile(file, dtype=kind, count=min(left, _VALUES_AT_ONCE))
            require(piece.size > 0, "the weights became shorter while they were read")
            left -= piece.size
            yield piece
