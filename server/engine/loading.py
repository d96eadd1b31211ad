"""Turns the name of a revision into a folder on this machine that vLLM can be trusted to load."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from lift.errors import InternalError, LiftError, RevisionRejected
from lift.template import PromptTemplate
from server.engine.llm import LLM, Adapter, Sampling
from server.engine.preparing import OUTCOME, Loadable, Refused, Setup
from storage.files import MANIFEST
from storage.records import RevisionRef
from storage.revisions import Manifest
from storage.scope import Scope

log = structlog.get_logger()

PREPARATION_SECONDS = 900  # a large adapter from a slow store
PREPARATIONS_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A revision on this machine, its files checked by a process that shares nothing with the engine."""

    ref: RevisionRef
    folder: Path
    template: PromptTemplate
    scope: Scope | None
    fetch_seconds: float
    validate_seconds: float


class Preparation:
    """Has revisions fetched and validated by `server.engine.preparing`, each in a folder of its own."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._room = asyncio.Semaphore(PREPARATIONS_AT_ONCE)
        self._idle: list[Process] = []

    async def prepare(self, ref: RevisionRef) -> Prepared:
        """RevisionMissing, StoreUnavailable; RevisionRejected: altered, for another base model, or not a LoRA of it."""
        loadable = await self._ask({"revision": [ref.tenant, ref.adapter, ref.digest]})
        return Prepared(
            ref=ref,
            folder=loadable.folder,
            template=Manifest.from_bytes((loadable.folder / MANIFEST).read_bytes()).template,
            scope=Scope.of_folder(loadable.folder),
            fetch_seconds=loadable.fetch_seconds,
            validate_seconds=loadable.validate_seconds,
        )

    async def check(self, folder: Path) -> None:
        """RevisionRejected: a folder of this machine is not what can be loaded."""
        await self._ask({"folder": str(folder)})

    async def close(self) -> None:
        """Ends the processes, once they have done what they were asked."""
        for process in self._idle:
            _input(process).close()
        await asyncio.gather(*(process.wait() for process in self._idle))
        self._idle.clear()

    async def _ask(self, task: dict[str, Any]) -> Loadable:
        """Whatever a process trips over, it is that process that falls."""
        async with self._room:
            process = await self._process()
            try:
                async with asyncio.timeout(PREPARATION_SECONDS):
                    outcome = await _outcome(process, task)
            except BaseException as error:
                await _end(process)
                if isinstance(error, TimeoutError):
                    raise RevisionRejected(problem="it took too long to fetch and check") from error
                raise
            self._idle.append(process)
        if isinstance(outcome, Refused):
            raise (LiftError.of_reason(outcome.reason) or InternalError)(**outcome.facts)
        return outcome

    async def _process(self) -> Process:
        """One that has nothing to do."""
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.engine.preparing"),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy would start some, for nothing
        )
        _input(process).write(f"{self._setup.model_dump_json()}\n".encode())
        return process


async def _outcome(process: Process, task: dict[str, Any]) -> Loadable | Refused:
    """RevisionRejected: the process said nothing, or nothing that it should say."""
    try:
        _input(process).write(f"{json.dumps(task)}\n".encode())
        await _input(process).drain()
        return OUTCOME.validate_json(await _output(process).readline())
    except (ValueError, ConnectionError) as error:
        log.error("preparation_crashed", process=process.pid)
        raise RevisionRejected(problem="validation did not finish") from error


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _input(process: Process) -> asyncio.StreamWriter:
    if process.stdin is None:
        raise InternalError(problem="a process has no input")
    return process.stdin


def _output(process: Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise InternalError(problem="a process has no output")
    return process.stdout


async def load_probed(llm: LLM, adapter: Adapter) -> None:
    """Has the engine load an adapter, and the adapter write one token. RevisionRejected, EngineUnavailable."""
    await llm.add(adapter)
    written = 0
    prompt = await asyncio.to_thread(llm.encode, "Hello")
    probe = llm.generate(prompt, Sampling(max_tokens=1), salt=adapter.name, adapter=adapter)
    async with aclosing(probe) as deltas:
        async for delta in deltas:
            written = delta.completion_tokens
    if not written:
        raise RevisionRejected(problem="it did not write a token")
