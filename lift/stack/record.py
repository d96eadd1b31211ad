"""What a supervisor leaves in stack.json for `lift status`, `lift down` and the next `lift up`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lift.errors import Fact, StackFailed
from lift.kept import write_privately
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


_STORED = TypeAdapter(StackRecord)


def write(path: Path, record: StackRecord) -> None:
    """Replaces the record in one step. OSError."""
    write_privately(path, json.dumps(asdict(record), indent=2) + "\n")


def read(path: Path) -> StackRecord | None:
    """The record that was last written; None where there is none. StackFailed: it is damaged, or of another version."""
    try:
        return _STORED.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = "damaged, or of another version; delete it once none of this stack's processes is left"
        raise StackFailed(file=str(path), problem=problem) from error
