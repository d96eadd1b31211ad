"""Gives every run of a process a log file of its own, keeps those of the last few runs, and reads their ends."""

from pathlib import Path

KEPT = 5
TAIL_BYTES = 16_000


def rotate(log: Path) -> None:
    """Numbers the logs of earlier runs, the last one 1, and forgets those above KEPT."""
    for number in range(KEPT, 0, -1):
        older = log if number == 1 else Path(f"{log}.{number - 1}")
        if older.exists():
            older.replace(f"{log}.{number}")


def last_lines(log: Path, count: int = 20) -> str:
    """The last lines of a log; empty where there is none."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
