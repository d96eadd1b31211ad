"""Adds products of rows with a frozen matrix, whole or in two halves, whichever is faster on this processor.

On CPUs with AMX, oneDNN gives products of some shapes to one thread alone: 1,000 rows by [1536, 576] take as long as
2,000 (docs/why.md). Halves of the matrix's columns go to all threads, one half after the other. Which shapes those are
changes with the processor and oneDNN's version, so it is measured.
"""

import math
from collections.abc import Callable
from itertools import product
from time import perf_counter
from typing import TypeAlias

import torch
from torch import Tensor

LEAST_ROWS = 256  # fewer are as fast in one piece
ROWS = 64  # whose products are measured once for all of them
PASSES = 4
WORTH = 0.85  # of the time of the whole: halves that gain less are not worth a wrong measurement

Way: TypeAlias = Callable[[Tensor, Tensor, Tensor], object]
_Shape: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...], torch.dtype, int]

_known: dict[_Shape, Way] = {}


def add_product(y: Tensor, x: Tensor, weight: Tensor) -> None:
    """y [T, n] += x [T, k] weight [k, n], each number of y rounded once."""
    threads = torch.get_num_threads()
    if not y.is_cpu or threads == 1 or len(x) < LEAST_ROWS:
        y.addmm_(x, weight)
        return
    shape = len(x) // ROWS, tuple(weight.shape), weight.stride(), weight.dtype, threads
    if shape not in _known:
        _known[shape] = _faster(y, x, weight)
    _known[shape](y, x, weight)


def _whole(y: Tensor, x: Tensor, weight: Tensor) -> None:
    y.addmm_(x, weight)


def _halves(y: Tensor, x: Tensor, weight: Tensor) -> None:
    for y_half, weight_half in zip(y.chunk(2, 1), weight.chunk(2, 1), strict=True):
        y_half.addmm_(x, weight_half)


def _faster(y: Tensor, x: Tensor, weight: Tensor) -> Way:
    """Of the two, by their least times."""
    least = {_whole: math.inf, _halves: math.inf}
    scratch = torch.zeros_like(y)
    for _, way in product(range(PASSES), least):
        begin = perf_counter()
        way(scratch, x, weight)
        least[way] = min(least[way], perf_counter() - begin)
    return _halves if least[_halves] < WORTH * least[_whole] else _whole
