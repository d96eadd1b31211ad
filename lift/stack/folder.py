"""The state folder: where everything of one stack lies, and the lock that lets only one supervisor have it."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lift.errors import StackRunning

_FLOCK = "hhqqi"  # struct flock of Linux: type, whence, start, length, pid


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths in a state folder."""

    path: Path

    @property
    def lock(self) -> Path:
        """Locked while a supervisor runs."""
        return self.path / "lock"

    @property
    def record(self) -> Path:
        """The processes as the supervisor last saw them."""
        return self.path / "stack.json"

    @property
    def config(self) -> Path:
        """The settings that every process is given; holds secrets."""
        return self.path / "lift.toml"

    @property
    def assigned(self) -> Path:
        """Ports and secrets, which outlive the processes; holds secrets."""
        return self.path / "assigned.json"

    @property
    def catalogue(self) -> Path:
        """The catalogue's SQLite file."""
        return self.path / "catalogue.sqlite"

    @property
    def trainer_ready(self) -> Path:
        """Created by the trainer, which listens on no port, once it receives wake-ups."""
        return self.path / "trainer.ready"

    @property
    def models(self) -> Path:
        """Base models that were prepared here."""
        return self.path / "models"

    @property
    def logs(self) -> Path:
        """What the processes say."""
        return self.path / "logs"

    def log_of(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Creates the folder for this user alone."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)


@contextmanager
def held(state: StateFolder) -> Iterator[None]:
    """Holds the folder for as long as the block lasts; the system lets go of it when the process ends. StackRunning."""
    with state.lock.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise StackRunning(state=str(state.path), pid=holder(state) or 0) from error
        yield


def holder(state: StateFolder) -> int | None:
    """The pid of the supervisor that holds the folder; None where none does. Asks without taking the lock."""
    if not state.lock.exists():
        return None
    with state.lock.open("rb") as file:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(pid)
