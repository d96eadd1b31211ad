"""Says how much memory the processes of a session hold, as Linux counts it."""

from pathlib import Path

PROCESSES = Path("/proc")


def held(session: int) -> dict[str, float]:
    """GB in memory of all processes of a session: `memory` with the pages of files they read, `own` without.

    Pages that several processes share count once, in parts.
    """
    totals = {"Pss": 0, "Pss_Anon": 0}
    for stat in PROCESSES.glob("[0-9]*/stat"):
        try:
            *_, of_session = stat.read_text().rpartition(")")[2].split()[:4]
            said = stat.with_name("smaps_rollup").read_text() if int(of_session) == session else ""
        except OSError:  # it has ended meanwhile
            continue
        for name, _, value in (line.partition(":") for line in said.splitlines()):
            if name in totals:
                totals[name] += 1024 * int(value.split()[0])
    return {"memory": round(totals["Pss"] / 1e9, 3), "own": round(totals["Pss_Anon"] / 1e9, 3)}
