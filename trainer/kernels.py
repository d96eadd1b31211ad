"""Compiles kernels.cpp for this processor, and calls it: the elementwise pieces of a step, each in one pass over rows.

torch makes such a piece of several operators, and each of them reads and writes all rows and wakes all threads. Where
there is no C++ compiler torch's operators compute everything, and the log says so once. Compiling takes a second.
"""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import structlog
import torch
from torch import Tensor

from trainer.compiled import KERNELS
from trainer.kept import file_of, written_whole

SOURCE = Path(__file__).with_suffix(".cpp")
NUMBERS = MappingProxyType({torch.bfloat16: "bf16", torch.float32: "float"})
COMPILERS = ("g++", "clang++", "c++")
FLAGS = (
    "-std=c++17 -O3 -march=native -fopenmp -fPIC -fno-math-errno -fno-trapping-math".split()  # noqa: SIM905 - a command
    + (["-mprefer-vector-width=512"] if platform.machine() == "x86_64" else [])
)
OPENMPS = ("libiomp", "libgomp", "libomp")
COMPILE_SECONDS = 120.0
WIDEST_HEAD = 512  # that kernels.cpp has room for
MOST_CHOICES = 64

log = structlog.get_logger()

Argument: TypeAlias = Tensor | int | float | None


class Kernels:
    """The functions of kernels.cpp for numbers of one type."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._library.sum_of_squares.restype = ctypes.c_double

    def __call__(self, name: str, *arguments: Argument) -> float:
        """Calls a function with torch's number of threads behind its arguments, of which tensors have contiguous rows.

        What it returns is a number where the function returns one.
        """
        found: float = getattr(self._library, name)(*map(_passed, arguments), ctypes.c_int64(torch.get_num_threads()))
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
    try:
        with _folder() as folder:
            return Kernels(_loaded(_compiled(NUMBERS[dtype], folder)))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        log.warning("kernels_missing", error=said[-500:], effect="training on this CPU is slower")
        return None


@contextmanager
def _folder() -> Iterator[Path]:
    """Where kernels are kept, or one that is gone behind the block: what is loaded stays. OSError."""
    kept = Path(os.environ.get(KERNELS, ""))
    if kept.is_absolute() and _is_our_own(kept):
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _is_our_own(folder: Path) -> bool:
    """Whether nobody else may write there: what it holds is run, and torch may have named a folder in /tmp."""
    folder.mkdir(parents=True, exist_ok=True)
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def _compiled(number: str, folder: Path) -> Path:
    """The library, which may be in the folder already. OSError, SubprocessError."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise FileNotFoundError(f"no C++ compiler ({', '.join(COMPILERS)})")
    made_of = [sha256(SOURCE.read_bytes()).hexdigest(), compiler, FLAGS, _processor()]
    file = file_of(folder, f"kernels-{number}.so", made_of)
    if file.is_file():
        return file
    with written_whole(file) as unfinished:
        compiled = unfinished.with_suffix(f"{unfinished.suffix}.o")
        _run(compiler, *FLAGS, f"-DT={number}", "-c", str(SOURCE), "-o", str(compiled))
        _run(compiler, "-shared", str(compiled), "-o", str(unfinished))  # without an OpenMP of its own: see _loaded
        compiled.unlink()
    return file


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS)


def _processor() -> str:
    """What -march=native means here: a folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def _loaded(file: Path) -> ctypes.CDLL:
    """The library with the OpenMP that torch has loaded: a second one would have threads of its own. OSError."""
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    for path in sorted(mapped):
        if Path(path).name.startswith(OPENMPS):
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(file))
