"""Calls kernels.cpp, the elementwise pieces of a step, each in one pass over rows.

torch makes such a piece of several operators, and each of them reads and writes all rows and wakes all threads. Where
kernels.cpp cannot be compiled torch's operators compute everything, and the log says so once.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from lift.native import loaded
from trainer.learners.compiled import KERNELS

SOURCE = Path(__file__).with_suffix(".cpp")
NUMBERS = MappingProxyType({torch.bfloat16: "bf16", torch.float32: "float"})
WIDEST_HEAD = 512  # that kernels.cpp is told to have room for
MOST_CHOICES = 64
EFFECT = "training on this CPU is slower"

Argument: TypeAlias = Tensor | int | float | None


class Kernels:
    """The functions of a compiled file."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self._functions = functions

    def __call__(self, name: str, *arguments: Argument) -> float:
        """Calls a function with torch's number of threads behind its arguments, of which tensors have contiguous rows.

        What it returns is a number where the function returns one.
        """
        found: float = getattr(self._functions, name)(*map(_passed, arguments), ctypes.c_int64(torch.get_num_threads()))
        return found


def _passed(argument: Argument) -> "ctypes.c_void_p | ctypes.c_float | ctypes.c_int64":
    if isinstance(argument, Tensor):
        if not (argument.is_cpu and argument.is_contiguous()):
            raise ValueError(f"a kernel has no use for a tensor of strides {argument.stride()} on {argument.device}")
        return ctypes.c_void_p(argument.data_ptr())
    if argument is None:
        return ctypes.c_void_p(None)
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int64(argument)


@cache
def kernels(dtype: torch.dtype) -> Kernels | None:
    """Those for numbers of a type; none, and a line in the log, where they cannot be compiled."""
    if dtype not in NUMBERS:
        return None
    defines = f"T={NUMBERS[dtype]}", f"WIDEST_HEAD={WIDEST_HEAD}", f"MOST_CHOICES={MOST_CHOICES}"
    functions = loaded(SOURCE, os.environ.get(KERNELS, ""), *defines, effect=EFFECT)
    if functions is None:
        return None
    functions.sum_of_squares.restype = ctypes.c_double
    return Kernels(functions)
