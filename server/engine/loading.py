"""Turns the name of a revision into a folder on this machine that vLLM can be trusted to load."""

import asyncio
import json
import os
import shutil
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import structlog

from lift.errors import RevisionRejected
from lift.template import PromptTemplate
from server.engine.llm import LLM, Adapter, Sampling
from server.engine.niceness import stand_back
from storage.files import MANIFEST
from storage.objects import ObjectStore
from storage.records import RevisionRef
from storage.revisions import Manifest, fetch

log = structlog.get_logger()

VALIDATION_SECONDS = 300
VALIDATIONS_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A revision on this machine, its files checked by a process that shares nothing with the engine."""

    ref: RevisionRef
    folder: Path
    template: PromptTemplate
    fetch_seconds: float
    validate_seconds: float


class Preparation:
    """Fetches and validates revisions for one base model. Each lands in a folder of its own below `folder`."""

    def __init__(
        self,
        objects: ObjectStore,
        folder: Path,
        *,
        base_model: Path,
        base_model_revision: str,
        max_lora_rank: int,
        max_revision_bytes: int,
    ) -> None:
        self._objects = objects
        self._folder = folder
        self._base_model = base_model
        self._base_model_revision = base_model_revision
        self._max_lora_rank = max_lora_rank
        self._max_revision_bytes = max_revision_bytes
        self._room = asyncio.Semaphore(VALIDATIONS_AT_ONCE)

    async def prepare(self, ref: RevisionRef) -> Prepared:
        """RevisionMissing, StoreUnavailable; RevisionRejected: altered, for another base model, or not a LoRA of it."""
        async with self._room:
            began = time.monotonic()
            folder = await asyncio.to_thread(fetch, self._objects, ref, self._folder, self._max_revision_bytes)
            fetched = time.monotonic()
            try:
                manifest = await self.check(folder)
            except BaseException:
                discard(folder)
                raise
        return Prepared(
            ref=ref,
            folder=folder,
            template=manifest.template,
            fetch_seconds=fetched - began,
            validate_seconds=time.monotonic() - fetched,
        )

    async def check(self, folder: Path) -> Manifest:
        """The manifest of a folder that can be loaded. RevisionRejected."""
        try:
            manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
        except OSError as error:
            raise RevisionRejected(problem="there is no manifest") from error
        self._check_base_model(manifest)
        await self._validate(folder)
        return manifest

    def _check_base_model(self, manifest: Manifest) -> None:
        if manifest.base_model_revision != self._base_model_revision:
            raise RevisionRejected(
                problem="it was trained on another base model",
                base_model_revision=manifest.base_model_revision[:16],
                running=self._base_model_revision[:16],
            )

    async def _validate(self, folder: Path) -> None:
        """Runs storage.validation; whatever it trips over, it is that process that falls."""
        config = str(self._base_model / "config.json")
        arguments = ("-m", "storage.validation", str(folder), config, str(self._max_lora_rank))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy would start some, for nothing
        )
        stand_back(process.pid)
        try:
            async with asyncio.timeout(VALIDATION_SECONDS):
                out, err = await process.communicate()
        except TimeoutError as error:
            raise RevisionRejected(problem="validation took too long") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise _rejection(out, err)


def _rejection(out: bytes, err: bytes) -> RevisionRejected:
    try:
        return RevisionRejected(**json.loads(out))
    except ValueError:
        log.error("validation_crashed", output=err.decode(errors="replace")[-2000:])
        return RevisionRejected(problem="validation did not finish")


async def load_probed(llm: LLM, adapter: Adapter) -> None:
    """Has the engine load an adapter, and the adapter write one token. RevisionRejected, EngineUnavailable."""
    await llm.add(adapter)
    written = 0
    probe = llm.generate(llm.encode("Hello"), Sampling(max_tokens=1), salt=adapter.name, adapter=adapter)
    async with aclosing(probe) as deltas:
        async for delta in deltas:
            written = delta.completion_tokens
    if not written:
        raise RevisionRejected(problem="it did not write a token")


def discard(folder: Path) -> None:
    """Deletes a revision's folder, which no engine may know any more."""
    shutil.rmtree(folder, ignore_errors=True)
