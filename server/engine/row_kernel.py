"""Adds the LoRA deltas of single rows: a compiled loop that reads each adapter's weights as fast as they come.

A matrix product of one row costs a library many times what reading its operands costs. numba, which vLLM requires too,
compiles this loop when the module is imported; that takes a second or two.

bf16 numbers are passed as their bits (uint16), since numpy has no such type: they are the upper halves of fp32 numbers.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

Bits = np.ndarray[Any, np.dtype[np.uint16]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]

_HALF = ir.IntType(16)
_WORD = ir.IntType(32)


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def _widened(_: Any, bits: Any) -> Any:  # noqa: ARG001 - numba counts the arguments
    """bf16 bits → fp32."""

    def build(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        word = builder.shl(builder.zext(arguments[0], _WORD), ir.Constant(_WORD, 16))
        return builder.bitcast(word, ir.FloatType())

    return types.float32(types.uint16), build


@intrinsic  # type: ignore[untyped-decorator]
def _rounded(_: Any, number: Any) -> Any:  # noqa: ARG001
    """fp32 → the bits of the nearest bf16, the even one of two."""

    def build(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        word = builder.bitcast(arguments[0], _WORD)
        last = builder.and_(builder.lshr(word, ir.Constant(_WORD, 16)), ir.Constant(_WORD, 1))
        up = builder.add(builder.add(word, ir.Constant(_WORD, 0x7FFF)), last)
        return builder.trunc(builder.lshr(up, ir.Constant(_WORD, 16)), _HALF)

    return types.uint16(types.float32), build


_MATRIX, _STACK, _NUMBERS = types.uint16[:, ::1], types.uint16[:, :, ::1], types.int64[::1]


@numba.njit(
    types.void(_MATRIX, _MATRIX, _NUMBERS, _NUMBERS, _NUMBERS, _STACK, _STACK, types.int64, types.float32),
    fastmath={"reassoc", "contract", "nsz"},  # sums in any order, or nothing would be computed side by side
    error_model="numpy",
    nogil=True,
)  # type: ignore[untyped-decorator]
def add_rows(  # noqa: PLR0917 - numba takes arguments by position
    y: Bits, x: Bits, rows: Numbers, slots: Numbers, ranks: Numbers, a: Bits, b: Bits, start: int, scale: float
) -> None:
    """y[row, start:] += scale · B[slot] A[slot] x[row] for each row and its slot, in fp32 up to the one rounding.

    y [n, out of all projections], x [n, in], A [slots, R, in], B [slots, out, R], ranks [slots]: those of the adapters.
    """
    wide = np.empty(x.shape[1], np.float32)
    hidden = np.empty(a.shape[1], np.float32)
    for number in range(len(rows)):
        row, slot = rows[number], slots[number]
        rank = ranks[slot]
        for i in range(x.shape[1]):
            wide[i] = _widened(x[row, i]) * scale
        for r in range(rank):
            total = np.float32(0)
            for i in range(x.shape[1]):
                total += _widened(a[slot, r, i]) * wide[i]
            hidden[r] = total
        for o in range(b.shape[1]):
            total = _widened(y[row, start + o])
            for r in range(rank):
                total += _widened(b[slot, o, r]) * hidden[r]
            y[row, start + o] = _rounded(total)
