"""Starts engines as processes of their own, and asks them."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from lift.errors import EngineUnavailable
from lift.settings import EngineSettings, ModelSettings, ObjectSettings, Settings
from lift.stack.programs import of_engine
from lift.toml import revealed
from server.engine.environment import environment

END_SECONDS = 30.0
ANSWER_SECONDS = 600.0
AS_PUBLISHED = {"VLLM_PLUGINS": ""}
"""Variables that leave vLLM as it is published."""


class Asked(Protocol):
    """What can be asked as an engine; see `benchmarks.engine_process.Subject` for what."""

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The result of one command. EngineUnavailable."""
        ...


class EngineProcess:
    """A running engine."""

    def __init__(self, commands: IO[str], results: IO[str], setup: Mapping[str, Any]) -> None:
        self._commands = commands
        self._results = results
        self._write(json.dumps(setup) + "\n")

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The result of one command. EngineUnavailable: the process has ended, or says nothing for ANSWER_SECONDS."""
        self._write(json.dumps({"do": do, **arguments}) + "\n")
        return self.result()

    def result(self) -> dict[str, Any]:
        """The next result. EngineUnavailable."""
        if not select.select([self._results], [], [], ANSWER_SECONDS)[0]:
            raise EngineUnavailable(problem=f"the engine said nothing for {ANSWER_SECONDS:.0f} s")
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


class Rival:
    """Another engine, for as long as it answers. `failed`: its name and why it does not, where it does not."""

    def __init__(self, name: str, start: Callable[[], EngineProcess]) -> None:
        self.failed: dict[str, str] = {}
        self._name = name
        self._engine: EngineProcess | None = None
        with self.noting():
            self._engine = start()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """EngineUnavailable ends the block, and whatever else it is asked, but not the benchmark."""
        try:
            yield
        except EngineUnavailable as error:
            self._engine = None
            self.failed.setdefault(self._name, str(error))

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The result of one command. EngineUnavailable."""
        if self._engine is None:
            raise EngineUnavailable(problem="it has failed before")
        return self._engine.ask(do, **arguments)


@contextmanager
def running(
    base_model: Path,
    engine: EngineSettings,
    objects: ObjectSettings,
    *,
    max_lora_rank: int,
    variables: Mapping[str, str],
) -> Iterator[EngineProcess]:
    """An engine that has loaded, in the environment that `lift up` gives one, for as long as the block lasts.

    EngineUnavailable: it did not start.
    """
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
        env={**os.environ, **of_engine(), **environment(settings), **variables},
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
