"""What a supervisor leaves in stack.json for `lift status`, `lift down` and the next `lift up`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lift.errors import Fact
from lift.stack.probes import Probe


class ProcessState(StrEnum):
    """Where a process of the stack stands. DONE: a preparation that has ended well."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One process as its supervisor last saw it. `pid` is 0 where none runs; `since` is an ISO time of the state."""

    name: str
    state: ProcessState
    since: str
    pid: int
    start_ticks: int
    ports: tuple[int, ...]
    restarts: int
    probe: Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """The whole stack, as the supervisor of that pid wrote it.

    `ready` once a query has been answered; `failure` holds the facts of a start that failed.
    """

    supervisor: int
    ready: bool
    processes: tuple[ProcessRecord, ...]
    failure: Mapping[str, Fact] = field(default_factory=dict)


def write(path: Path, record: StackRecord) -> None:
    """Replaces the record in one step."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(asdict(record), indent=2) + "\n")
    unfinished.rename(path)


def read(path: Path) -> StackRecord | None:
    """The record that was last written; None where there is none."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return StackRecord(**{**content, "processes": tuple(map(_process, content["processes"]))})


def _process(content: dict[str, Any]) -> ProcessRecord:
    return ProcessRecord(
        **{
            **content,
            "state": ProcessState(content["state"]),
            "ports": tuple(content["ports"]),
            "probe": Probe(**content["probe"]),
        }
    )
