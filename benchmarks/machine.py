"""Measures what a machine can do: matrix products of the model's shapes and type, and memory bandwidth."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

CPU = torch.device("cpu")
ROWS = 4096
ROUNDS = 5
COPIED_BYTES = 1 << 30


def peak_flops(width: int, inner: int, dtype: torch.dtype, device: torch.device = CPU) -> float:
    """Floating-point operations a second of products [ROWS, width] · [width, inner] and back; the best round."""
    left, up, down = (
        torch.randn(shape, dtype=dtype, device=device) for shape in ((ROWS, width), (width, inner), (inner, width))
    )
    return 4 * ROWS * width * inner / _best_seconds(lambda: (left @ up) @ down, device)


def bandwidth(device: torch.device = CPU) -> float:
    """Bytes a second, read and written, of a copy that no cache holds; the best round."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / _best_seconds(lambda: target.copy_(source), device)


def now(device: torch.device) -> float:
    """Seconds on a clock, when the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    work()
    seconds = []
    for _ in range(ROUNDS):
        began_at = now(device)
        work()
        seconds.append(now(device) - began_at)
    return min(seconds)


def describe() -> dict[str, str | int]:
    """The processor as Linux names it, its cores, what it has for products in bf16, and the GPU where there is one."""
    said = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in said.splitlines())}
    flags = fields.get("flags", "").split()
    has = [name for flag, name in (("avx512_bf16", "AVX-512 bf16"), ("amx_bf16", "AMX")) if flag in flags]
    described: dict[str, str | int] = {
        "processor": fields.get("model name", platform.machine()),
        "cores": os.cpu_count() or 1,
        "bf16": " and ".join(has) or "no instructions for it",
    }
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return described
