"""Has functions of tensors compiled where they run on a GPU: a kernel each, which reads and writes everything once.

On CPUs they run as they are written, where there are no kernels of our own (`kernels`): torch.compile takes half a
minute there before the first step, and gains less (docs/why.md).
"""

import os
import shutil
from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog
import torch

KERNELS = "TORCHINDUCTOR_CACHE_DIR"

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")


def compiled_on_gpus(function: Callable[P, R]) -> Callable[P, R]:
    """The function, compiled when it is first called with a tensor on a GPU, which is its first argument."""
    compiled = cache(lambda: torch.compile(function))  # made late: on CPUs nobody waits for the compiler's import

    @wraps(function)
    def chosen(*arguments: P.args, **named: P.kwargs) -> R:
        if torch.compiler.is_compiling():  # it is part of another
            return function(*arguments, **named)
        first = arguments[0]
        on_gpu = isinstance(first, torch.Tensor) and first.is_cuda
        used = compiled() if on_gpu and can_compile() else function
        return used(*arguments, **named)

    return chosen


def keep_kernels(folder: Path) -> None:
    """Keeps what is compiled in the folder, for later processes; one that the environment names comes first."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)  # one that others may write to is not used
    except OSError as error:
        log.warning("kernels_not_kept", folder=str(folder), error=str(error))
        return
    os.environ.setdefault(KERNELS, str(folder))


@cache
def can_compile() -> bool:
    """Whether there is what Triton needs; where not, the log says once what is missing, and nothing is compiled."""
    missing = [] if find_spec("triton") else ["triton"]
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        missing.append("a C compiler")
    if missing:
        log.warning("not_compiled", missing=", ".join(missing), effect="training on this GPU is slower")
    return not missing
