"""Turns the end of a supervisor, however it came, into the end of everything that it started.

The supervisor starts this file as a process of its own and writes `+PID TICKS` to it for each process group that it
starts, `-PID TICKS` for each that it has ended. When the pipe closes, the groups that are left are ended. It
needs the standard library only, and runs without site-packages.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 5.0


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with its pid, its identity. None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_there(group: int) -> bool:
    """Whether a process group still has members that run."""
    return any(_group_of(entry) == group for entry in Path("/proc").iterdir() if entry.name.isdigit())


def end_groups(groups: Mapping[int, int], grace_seconds: float) -> tuple[int, ...]:
    """Ends process groups, each given by its leader's pid and start ticks: asked first, killed after the grace.

    A group whose leader's pid belongs to another process by now is left alone. The groups that there were.
    """
    ours = tuple(group for group, ticks in groups.items() if start_ticks(group) in {ticks, None} and is_there(group))
    _signal(ours, signal.SIGTERM)
    until = time.monotonic() + grace_seconds
    while any(map(is_there, ours)) and time.monotonic() < until:
        time.sleep(0.05)
    _signal(ours, signal.SIGKILL)
    return ours


def _signal(groups: Iterable[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)


def _group_of(entry: Path) -> int | None:
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[2])


def main() -> None:
    """Listens until the supervisor is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        group, ticks = map(int, line[1:].split())
        if line[0] == "+":
            groups[group] = ticks
        else:
            groups.pop(group, None)
    end_groups(groups, GRACE_SECONDS)


if __name__ == "__main__":
    main()
