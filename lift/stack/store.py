"""Runs the S3 server of `lift up` alone, in a folder that is gone afterwards: for benchmarks and tests."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lift.errors import StackFailed
from lift.settings import ObjectSettings
from lift.stack.children import Program
from lift.stack.configuration import configure
from lift.stack.folder import StateFolder
from lift.stack.logfiles import last_lines
from lift.stack.probes import answers
from lift.stack.programs import seaweedfs

RETRY_SECONDS = 0.2


@contextmanager
def running_store() -> Iterator[ObjectSettings]:
    """How to reach it; the user's own, where the settings name one. StackFailed: it does not start."""
    with tempfile.TemporaryDirectory(prefix="lift-store-", ignore_cleanup_errors=True) as folder:
        state = StateFolder(Path(folder))
        state.make()
        configuration = configure(state)
        if not configuration.own_objects:
            yield configuration.settings.objects
            return
        with _running(seaweedfs(state, configuration)):
            yield configuration.settings.objects


@contextmanager
def _running(program: Program) -> Iterator[None]:
    with program.log.open("ab") as log:
        process = subprocess.Popen(
            program.command,
            stdout=log,
            stderr=log,
            env={**os.environ, **program.environment},
            cwd=program.folder,
            start_new_session=True,  # as in a stack: Linux may share processors out by sessions
        )
    try:
        deadline = time.monotonic() + program.ready_seconds
        while not answers(program.probe):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackFailed(process=program.name, said=last_lines(program.log))
            time.sleep(RETRY_SECONDS)
        yield
    finally:
        process.kill()  # its orderly end takes 15 seconds, and nobody wants what it holds
        process.wait()
