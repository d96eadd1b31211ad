"""Compiles decoder.cpp, and lays out what it is called with."""

import ctypes
from ctypes import byref
from functools import cache
from typing import Self

import torch
from torch import Tensor

from lift.native import TILE_SIDE, NotCompiled
from server.engine.cpu.lora_kernel import KernelLayer, lora_kernel, lora_tiles, tiles

FILE = "decoder.cpp"


@cache
def run() -> ctypes.CDLL:
    """The kernel's functions. NotCompiled: the processor has no tiles, or there is no compiler."""
    functions = tiles(FILE) if lora_kernel() and lora_tiles() else None
    if functions is None:
        raise NotCompiled("no tiles, or no compiler")
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    functions.lay_out.argtypes = [pointer, pointer, number, number]
    functions.linear.argtypes = [pointer] * 4
    functions.before_attention.argtypes = [*[pointer] * 5, ctypes.c_int, pointer]
    functions.behind_attention.argtypes = [pointer] * 6
    for function in (functions.lay_out, functions.linear, functions.before_attention, functions.behind_attention):
        function.restype = None
    return functions


def usable() -> bool:
    """Whether this processor has tiles, and the kernel is compiled for them."""
    try:
        run()
    except NotCompiled:
        return False
    return True


class Linear(ctypes.Structure):
    """As decoder.cpp has it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "bias", "lora")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
    )


class Decoder(ctypes.Structure):
    """As decoder.cpp has it."""

    _fields_ = (
        *((name, Linear) for name in ("qkv", "o", "gate_up", "down")),
        *((name, ctypes.c_void_p) for name in ("input_norm", "inner_norm", "turns")),
        *((name, ctypes.c_int64) for name in ("heads", "key_heads", "head")),
        ("epsilon", ctypes.c_float),
    )


class Deltas(ctypes.Structure):
    """As decoder.cpp has it."""

    _fields_ = (("few", ctypes.c_void_p), ("many", ctypes.c_void_p))


class Step(ctypes.Structure):
    """As decoder.cpp has it."""

    _fields_ = (
        ("positions", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("rows", "threads")),
        *((name, ctypes.c_void_p) for name in ("add_few", "add_many")),
    )

    def __init__(self, rows: int, positions: Tensor | None = None) -> None:
        """`positions` [rows], int64: for whole layers."""
        few, many = lora_kernel(), lora_tiles()
        self.kept = positions  # what the address is of
        super().__init__(
            None if positions is None else positions.data_ptr(),
            rows,
            torch.get_num_threads(),
            few and few.address,
            many and many.address,
        )


class TileLinear:
    """y = W x + bias in the place of vLLM's product; W [out, in] lies as tiles read it."""

    def __init__(self, weight: Tensor) -> None:
        self._outputs, self._inputs = weight.shape
        self._panels = torch.empty_like(weight)
        run().lay_out(weight.data_ptr(), self._panels.data_ptr(), self._outputs, self._inputs)

    @classmethod
    def of(cls, weight: Tensor | None) -> Self | None:
        """None where the weight does not fit."""
        if weight is None or weight.dtype != torch.bfloat16 or weight.dim() != 2 or not weight.is_contiguous():
            return None
        return None if any(size % TILE_SIDE for size in weight.shape) else cls(weight)

    def __call__(self, x: Tensor, _: Tensor, bias: Tensor | None) -> Tensor:
        """x [..., in] → [..., out]; between them stands vLLM's weight, which is empty."""
        x = x.contiguous()
        y = x.new_empty(*x.shape[:-1], self._outputs)
        step = Step(x.numel() // self._inputs)
        run().linear(byref(self.linear(bias)), byref(step), x.data_ptr(), y.data_ptr())
        return y

    def linear(self, bias: Tensor | None, lora: KernelLayer | None = None) -> Linear:
        """The layer for the kernel, which must not outlive bias and adapters."""
        return Linear(
            self._panels.data_ptr(),
            None if bias is None else bias.data_ptr(),
            None if lora is None else ctypes.addressof(lora),
            self._inputs,
            self._outputs,
        )
