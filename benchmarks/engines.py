"""Starts engines as processes of their own, and asks them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lift.errors import EngineUnavailable
from lift.settings import EngineSettings, ModelSettings, ObjectSettings, Settings
from lift.toml import revealed
from server.engine.environment import environment

END_SECONDS = 30.0
AS_PUBLISHED = {"VLLM_PLUGINS": ""}
"""Variables that leave vLLM as it is published."""


class EngineProcess:
    """A running engine; see `benchmarks.engine_process.Subject` for what it can be asked."""

    def __init__(self, commands: IO[str], results: IO[str], setup: Mapping[str, Any]) -> None:
        self._commands = commands
        self._results = results
        self._write(json.dumps(setup) + "\n")

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The result of one command. EngineUnavailable: the process has ended."""
        self._write(json.dumps({"do": do, **arguments}) + "\n")
        return self.result()

    def result(self) -> dict[str, Any]:
        """The next result. EngineUnavailable."""
        line = self._results.readline()
        if not line:
            raise EngineUnavailable(problem="the engine's process ended")
        return dict(json.loads(line))

    def _write(self, line: str) -> None:
        try:
            self._commands.write(line)
            self._commands.flush()
        except BrokenPipeError as error:
            raise EngineUnavailable(problem="the engine's process ended") from error


@contextmanager
def running(
    base_model: Path,
    engine: EngineSettings,
    objects: ObjectSettings,
    *,
    max_lora_rank: int,
    variables: Mapping[str, str],
) -> Iterator[EngineProcess]:
    """An engine that has loaded, for as long as the block lasts. EngineUnavailable: it did not start."""
    model = ModelSettings.model_validate({"base_model": str(base_model), "max_lora_rank": max_lora_rank})
    settings = Settings(model=model, engine=engine)
    setup = {
        "base_model": str(base_model),
        "engine": engine.model_dump(exclude_unset=True),
        "model": model.model_dump(exclude_unset=True),
        "objects": revealed(objects),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.engine_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment(settings), **variables},
        start_new_session=True,
    )
    try:
        engine_process = EngineProcess(*_pipes(process), setup)
        engine_process.result()
        yield engine_process
    finally:
        _end(process)


def _pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise EngineUnavailable(problem="the engine's process has no pipes")
    return process.stdin, process.stdout


def _end(process: "subprocess.Popen[str]") -> None:
    """Closes its stdin, at which it ends by itself, and kills what is left of its session after END_SECONDS."""
    commands, results = _pipes(process)
    with suppress(BrokenPipeError):
        commands.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    results.close()
