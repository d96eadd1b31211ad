"""Fetches revisions and checks them, in a process of its own beside an engine: what it trips over harms nobody else.

    python -m server.engine.preparing

Standard input: a line with a `Setup`, then a line for each task, a revision from the store or a folder that is here,
which gets a line back on standard output. All lines are JSON. It ends where its input ends.

It stands back for answers: a step of the engine is many short pieces of work for all threads, each of which waits for
the last of them. That it is a process is what makes this possible: a thread that stands back keeps Python's lock.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, field_serializer

from lift.errors import EngineUnavailable, LiftError, RevisionRejected
from lift.settings import ObjectSettings
from lift.toml import revealed
from server.engine.gentle import GentleObjects
from storage.files import MANIFEST
from storage.objects import ObjectStore
from storage.records import RevisionRef
from storage.revisions import Manifest, fetch
from storage.validation import validate

NICENESS = 10  # on top of the engine's own


class Setup(BaseModel):
    """What all tasks share. `folder`: where revisions go, each into a folder of its own."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    objects: ObjectSettings
    folder: Path
    base_model: Path
    base_model_revision: str
    max_lora_rank: int
    max_revision_bytes: int

    @field_serializer("objects")
    def _with_secret(self, objects: ObjectSettings) -> dict[str, Any]:
        return revealed(objects)


class Loadable(BaseModel):
    """What a task gets back: a folder that can be loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    fetch_seconds: float = 0.0
    validate_seconds: float


class Refused(BaseModel):
    """What a task gets back that failed: the reason and the facts of an error of `lift.errors`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    facts: dict[str, str | int | float]


OUTCOME: TypeAdapter[Loadable | Refused] = TypeAdapter(Loadable | Refused)


def outcome(setup: Setup, objects: ObjectStore, task: dict[str, Any]) -> Loadable | Refused:
    """Of `task`: {"revision": [tenant, adapter, digest]} or {"folder": path}."""
    try:
        if "folder" in task:
            return _checked(setup, Path(task["folder"]))
        return _fetched(setup, objects, *task["revision"])
    except LiftError as error:
        return Refused(reason=error.reason(), facts=error.facts)
    except OSError as error:  # of this machine's disk, which says nothing about the revision
        failed = EngineUnavailable(problem=error.strerror or type(error).__name__)
        return Refused(reason=failed.reason(), facts=failed.facts)


def _fetched(setup: Setup, objects: ObjectStore, tenant: str, adapter: str, digest: str) -> Loadable:
    """RevisionMissing, StoreUnavailable, RevisionRejected: altered, or as below; then its folder is gone again."""
    began = time.monotonic()
    ref = RevisionRef(tenant=tenant, adapter=adapter, digest=digest)
    folder = fetch(objects, ref, setup.folder, setup.max_revision_bytes)
    seconds = time.monotonic() - began
    try:
        return _checked(setup, folder).model_copy(update={"fetch_seconds": seconds})
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _checked(setup: Setup, folder: Path) -> Loadable:
    """RevisionRejected: it was trained on another base model, or is not a LoRA of this one."""
    began = time.monotonic()
    try:
        manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise RevisionRejected(problem="there is no manifest") from error
    if manifest.base_model_revision != setup.base_model_revision:
        raise RevisionRejected(
            problem="it was trained on another base model",
            base_model_revision=manifest.base_model_revision[:16],
            running=setup.base_model_revision[:16],
        )
    validate(folder, json.loads((setup.base_model / "config.json").read_bytes()), setup.max_lora_rank)
    return Loadable(folder=folder, validate_seconds=time.monotonic() - began)


def main() -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the engine, which closes the input at its end
    os.nice(NICENESS)
    setup = Setup.model_validate_json(sys.stdin.readline())
    objects = GentleObjects(setup.objects)
    for line in sys.stdin:
        sys.stdout.write(outcome(setup, objects, json.loads(line)).model_dump_json() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
