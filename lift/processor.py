"""What kind of processor this machine has, and the type that a base model computes with on it."""

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = frozenset({"avx512bw", "bf16"})  # x86-64, Arm; without them oneDNN has no kernels for bfloat16


def processor(cpuinfo: Path = CPUINFO) -> str:
    """What its instructions are, as Linux lists them; elsewhere its name."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def dtype_for(wanted: str, *, on_cpu: bool, cpuinfo: Path = CPUINFO) -> str:
    """The type of the weights in memory, "bfloat16" or "float32"; `wanted` may be "auto".

    Products in bfloat16 on a CPU that has no instructions for it take up to a hundred times as long as in float32.
    """
    if wanted != "auto":
        return wanted
    slow = on_cpu and cpuinfo.is_file() and BFLOAT16_FLAGS.isdisjoint(processor(cpuinfo).split())
    return "float32" if slow else "bfloat16"
