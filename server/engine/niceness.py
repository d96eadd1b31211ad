"""Lets what loads adapters stand back: a step of the engine is many short pieces of work for all threads."""

import os
from contextlib import suppress

NICENESS = 10  # on top of the engine's own


def stand_back(process: int) -> None:
    """Leaves processors to others from here on: a process, on Linux also a thread by its native id; it may be gone."""
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process, os.nice(0) + NICENESS)
