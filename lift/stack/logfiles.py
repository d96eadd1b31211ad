"""Keeps the processes' log files from growing without end, and reads their ends."""

from pathlib import Path

MAX_BYTES = 10 << 20
KEPT = 3


def rotate(folder: Path) -> None:
    """Gives each log of more than MAX_BYTES a number, and forgets those above KEPT."""
    for log in folder.glob("*.log"):
        if log.stat().st_size <= MAX_BYTES:
            continue
        for number in range(KEPT, 0, -1):
            older = log if number == 1 else Path(f"{log}.{number - 1}")
            if older.exists():
                older.replace(f"{log}.{number}")


def last_lines(log: Path, count: int = 20) -> str:
    """The last lines of a log; empty where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
