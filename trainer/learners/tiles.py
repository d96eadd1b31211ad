"""Tiles: a CPU's instructions for products of bf16, where the files of C++ for them can be compiled (lift/tiles.h).

Matrix tiles (AMX), or vectors of bf16 (AVX-512) in their place.
"""

import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from lift.native import TILE_SIDE, loaded_tiles
from trainer.learners.compiled import KERNELS
from trainer.learners.kernels import EFFECT, Kernels


@cache
def tiles(name: str) -> Kernels | None:
    """The functions of a file beside this one; none where the processor or the system has no tiles.

    Nor are there any where the file cannot be compiled, which the log says once.
    """
    functions = loaded_tiles(Path(__file__).with_name(name), os.environ.get(KERNELS, ""), effect=EFFECT)
    return Kernels(functions) if functions else None


def fit(matrix: Tensor, *widths: int) -> bool:
    """Whether tiles can have a use for a matrix of numbers like these, and of these widths."""
    return matrix.is_cpu and matrix.dtype == torch.bfloat16 and not any(width % TILE_SIDE for width in widths)
