"""Calls lora_kernel.cpp, which adds the LoRA deltas of few rows, and lora_tiles.cpp, which adds those of many.

A library's matrix products cost many times as much. Where the files cannot be compiled products compute everything, and
the log says so once; lora_tiles.cpp wants a processor with instructions for products of bf16 (lift/tiles.h).
"""

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from lift.native import TILE_SIDE, loaded, loaded_tiles
from server.engine.environment import KERNELS

KERNEL, TILES = "lora_kernel.cpp", "lora_tiles.cpp"
EFFECT = "adapters on this CPU are slower"

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


class KernelLayer(ctypes.Structure):
    """Projections that read the same input, and the adapters in their slots, as the kernels have them."""

    _fields_ = (
        *((f"{name}_address", ctypes.c_void_p) for name in ("a", "b", "ranks", "scales", "widths")),
        *((name, ctypes.c_int64) for name in ("projections", "slots", "inputs")),
    )

    def __init__(self, slots: int, inputs: int, widths: Sequence[int]) -> None:
        """`inputs` and `widths`: of what all projections read, and of what each writes."""
        self.fits_tiles = not any(width % TILE_SIDE for width in (inputs, *widths))
        shape = len(widths), slots
        self._a, self._b, self.ranks = (np.zeros(shape, np.int64) for _ in range(3))
        self._scales, self._widths = np.ones(shape, np.float32), np.array(widths, np.int64)
        arrays = self._a, self._b, self.ranks, self._scales, self._widths
        super().__init__(*(numbers.ctypes.data for numbers in arrays), *shape, inputs)

    def put(self, projection: int, slot: int, a: Tensor, b: Tensor, scale: float) -> None:
        """A [rank, inputs] and B [width, rank], contiguous bf16, which stay where they are until they are cleared."""
        if not (a.is_contiguous() and b.is_contiguous()):
            raise ValueError("a kernel has no use for weights that are not contiguous")
        place = projection, slot
        self._a[place], self._b[place], self._scales[place] = a.data_ptr(), b.data_ptr(), scale
        self.ranks[place] = len(a)

    def clear(self, slot: int) -> None:
        """Nothing is added for the slot any more."""
        self.ranks[:, slot] = 0


class KernelRows(ctypes.Structure):
    """Rows of a batch, those of an adapter one behind the other, as lora_kernel.cpp has them."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("rows", "ends", "slots")),
        ("segments", ctypes.c_int64),
    )

    def __init__(self, segments: Sequence[tuple[int, Numbers]]) -> None:
        """`segments`: slot and rows of each adapter."""
        self.kept = (  # what the addresses below are of
            np.concatenate([rows for _, rows in segments]).astype(np.int64),
            np.cumsum([len(rows) for _, rows in segments]).astype(np.int64),
            np.array([slot for slot, _ in segments], np.int64),
        )
        super().__init__(*(numbers.ctypes.data for numbers in self.kept), len(segments))


class LoraKernel:
    """One of the files, compiled. `on_matrix_tiles`: few rows take it as long as 16."""

    def __init__(self, functions: ctypes.CDLL, *, on_matrix_tiles: bool = False) -> None:
        self.on_matrix_tiles = on_matrix_tiles
        self._add = functions.add_lora
        self._add.restype = None
        self._add.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.POINTER(KernelLayer),
            ctypes.POINTER(KernelRows),
            ctypes.c_float,
            ctypes.c_int64,
        ]

    @property
    def address(self) -> int | None:
        """Of the function, for another kernel to call."""
        return ctypes.cast(self._add, ctypes.c_void_p).value

    def __call__(self, y: Tensor, x: Tensor, layer: KernelLayer, rows: KernelRows, scale: float) -> None:
        """y [n, out of all projections] += scale · B A x in the rows; x [n, in]. All are contiguous bf16."""
        self._add(y.data_ptr(), y.shape[1], x.data_ptr(), layer, rows, scale, torch.get_num_threads())


@cache
def lora_kernel() -> LoraKernel | None:
    """The kernel for few rows; none, and a line in the log, where it cannot be compiled."""
    functions = loaded(*_kept(KERNEL), effect=EFFECT)
    return LoraKernel(functions) if functions else None


@cache
def lora_tiles() -> LoraKernel | None:
    """The one for many rows; none where the processor has no tiles, and as above."""
    functions = tiles(TILES)
    return LoraKernel(functions, on_matrix_tiles=bool(functions.on_matrix_tiles())) if functions else None


def tiles(name: str) -> ctypes.CDLL | None:
    """The functions of a file of this folder for tiles; none, likewise."""
    return loaded_tiles(*_kept(name), effect=EFFECT)


def _kept(name: str) -> tuple[Path, str]:
    return Path(__file__).with_name(name), os.environ.get(KERNELS, "")
