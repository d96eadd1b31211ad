"""Compiles a file of C++ for this processor, and loads it beside the OpenMP that is loaded already.

The files are plain C++ with a C interface: they need a compiler's own headers, those here and beside them, and seconds.
"""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import structlog

from lift.kept import file_of, written_whole
from lift.processor import processor

COMPILERS = ("g++", "clang++", "c++")
FLAGS = (
    "-std=c++17 -O3 -march=native -fopenmp -fPIC -fno-math-errno -fno-trapping-math".split()  # noqa: SIM905 - a command
    + (["-mprefer-vector-width=512"] if platform.machine() == "x86_64" else [])
)
HEADERS = Path(__file__).parent
OPENMPS = ("libiomp", "libgomp", "libomp")
COMPILE_SECONDS = 120.0
TILE_SIDE = 32  # of a block of results, as tiles.h has it: widths that tiles take are multiples of it

log = structlog.get_logger()


class NotCompiled(Exception):
    """There is no library of a file; the message says why."""


def loaded(source: Path, kept: str, *defines: str, effect: str) -> ctypes.CDLL | None:
    """As `library`; none, and a line in the log, where there is no library. `effect`: what is the worse for it."""
    try:
        return library(source, kept, *defines)
    except NotCompiled as error:
        log.warning("kernels_missing", file=source.name, error=str(error), effect=effect)
        return None


def loaded_tiles(source: Path, kept: str, *, effect: str) -> ctypes.CDLL | None:
    """The same of a file that includes tiles.h; none also where the processor or the system has no tiles."""
    functions = loaded(source, kept, effect=effect)
    return functions if functions and functions.usable() else None


def library(source: Path, kept: str, *defines: str) -> ctypes.CDLL:
    """The file's functions. `defines`: macros, NAME=VALUE.

    The library is kept in the folder `kept` for later processes, where that is an absolute path that nobody else may
    write to: what it holds is run. NotCompiled.
    """
    try:
        with _folder(Path(kept)) as folder:
            return _loaded(_compiled(source, defines, folder))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise NotCompiled(said[-500:]) from error


@contextmanager
def _folder(kept: Path) -> Iterator[Path]:
    """Where libraries are kept, or one that is gone behind the block: what is loaded stays. OSError."""
    if kept.is_absolute() and _is_our_own(kept):
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _is_our_own(folder: Path) -> bool:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)  # whatever the user leaves to groups otherwise
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def _compiled(source: Path, defines: tuple[str, ...], folder: Path) -> Path:
    """The library, which may be in the folder already. OSError, SubprocessError."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise FileNotFoundError(f"no C++ compiler ({', '.join(COMPILERS)})")
    headers = sorted({*HEADERS.glob("*.h"), *source.parent.glob("*.h")})
    texts = [file.read_bytes() for file in (source, *headers)]
    made_of = [*(sha256(text).hexdigest() for text in texts), compiler, FLAGS, defines, processor()]
    file = file_of(folder, f"{source.stem}.so", made_of)
    if file.is_file():
        return file
    with written_whole(file) as unfinished:
        compiled = unfinished.with_suffix(f"{unfinished.suffix}.o")
        chosen = *FLAGS, f"-I{HEADERS}", *(f"-D{define}" for define in defines)
        _run(compiler, *chosen, "-c", str(source), "-o", str(compiled))
        _run(compiler, "-shared", str(compiled), "-o", str(unfinished))  # without an OpenMP of its own: see _loaded
        compiled.unlink()
    return file


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS)


def _loaded(file: Path) -> ctypes.CDLL:
    """The library with the OpenMP that is loaded: a second one would have threads of its own. OSError."""
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    for path in sorted(mapped):
        if Path(path).name.startswith(OPENMPS):
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(file))
