"""One engine as a process of its own that a benchmark asks: a command as a JSON line on stdin, its result on stdout.

`python -m benchmarks.engine_process`, with what `server.engine.environment` says in the environment; the first line is
what it is set up with. vLLM imports this module again in its child processes, so it is light and nothing in it runs by
itself.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lift import logs

if TYPE_CHECKING:
    from server.engine.llm import Adapter
    from server.engine.preparing import Setup
    from server.engine.vllm_engine import VllmEngine
    from storage.records import RevisionRef

FIRST_REVISION = 1000  # adapters that are held by number come before


class Subject:
    """The engine that is measured. Times are seconds."""

    def __init__(self, llm: Any, engine: "VllmEngine", setup: "Setup", *, slots: int) -> None:
        """`setup`: of the revisions, of which there are at most `slots`."""
        from server.engine.disk_cache import DiskCache
        from server.engine.loading import Preparation
        from server.engine.slots import Slots
        from storage.s3 import S3Objects

        self._llm, self._engine, self._setup = llm, engine, setup
        self._requests = count()
        self._adapters: dict[int, Adapter] = {}
        self._objects = S3Objects(setup.objects)
        self._preparation = Preparation(setup)
        disk = DiskCache(self._preparation.prepare, max_bytes=0)
        self._slots = Slots(engine, disk, capacity=slots, drain_seconds=0, first_number=FIRST_REVISION)

    async def close(self) -> None:
        """Ends what prepares revisions."""
        await self._preparation.close()
        self._objects.close()

    async def hold(self, folders: Sequence[str], first: int) -> dict[str, Any]:
        """Loads adapters under the numbers from `first` on: the seconds of each, to its first token."""
        from server.engine.llm import Adapter
        from server.engine.loading import load_probed

        seconds = []
        for number, folder in enumerate(folders, first):
            self._adapters[number] = Adapter(number=number, name=folder, folder=Path(folder))
            began_at = time.perf_counter()
            await load_probed(self._engine, self._adapters[number])
            seconds.append(time.perf_counter() - began_at)
        return {"seconds": seconds}

    async def memory(self) -> dict[str, float]:
        """What this process and its children hold."""
        from benchmarks.memory import held

        return held(os.getsid(0))

    async def answer(self, voices: Sequence[int], prompt_tokens: int, answer_tokens: int, seed: int) -> dict[str, Any]:
        """One stream for each voice, 0 being the base model, all at once: when each of their tokens came."""
        chosen = random.Random(seed)  # noqa: S311 - prompts, not secrets
        prompts = [self._prompt(prompt_tokens, chosen) for _ in voices]
        began_at = time.perf_counter()
        streams = [
            self._stream(self._adapters.get(voice), prompt, answer_tokens)
            for voice, prompt in zip(voices, prompts, strict=True)
        ]
        came_at = await asyncio.gather(*streams)
        return {"streams": [[moment - began_at for moment in moments] for moments in came_at]}

    async def cold(self, folder: str) -> dict[str, float]:
        """A revision nobody has loaded, from the store to its first token, and the next first token of the same."""
        from lift.errors import RevisionRejected

        chosen = random.Random(0)  # noqa: S311
        prompts = [self._prompt(32, chosen) for _ in range(2)]
        ref = await asyncio.to_thread(self._publish, Path(folder))
        began_at = time.perf_counter()
        seconds = await self._slots.load(ref)
        loaded_at = time.perf_counter()
        if seconds is None:
            raise RevisionRejected(problem="it was loaded before")
        async with self._slots.holding(ref) as slot:
            cold = (await self._stream(slot.adapter, prompts[0], 1))[0] - began_at
            asked_at = time.perf_counter()
            warm = (await self._stream(slot.adapter, prompts[1], 1))[0] - asked_at
        await self._slots.unload(ref)
        took = {"fetch": seconds.fetch, "validate": seconds.validate, "load": seconds.load}
        return {**took, "loaded": loaded_at - began_at, "cold": cold, "warm": warm}

    async def neighbours(self, folder: str, voices: Sequence[int], answer_tokens: int, loading: bool) -> dict[str, Any]:
        """Streams as in `answer`, while revisions are loaded and unloaded beside them or nothing happens."""
        ref = await asyncio.to_thread(self._publish, Path(folder))
        await self._slots.load(ref)  # the first load of a process takes longer
        await self._slots.unload(ref)
        beside = asyncio.create_task(self._load_on(ref)) if loading else None
        streams = (await self.answer(voices, 16, answer_tokens, seed=len(voices)))["streams"]
        loads = 0
        if beside is not None:
            self._loading = False
            loads = await beside
        return {"streams": streams, "loads": loads}

    def _prompt(self, tokens: int, chosen: random.Random) -> list[int]:
        size = len(self._engine.vocabulary)
        return [chosen.randrange(size // 2, size) for _ in range(tokens)]

    async def _load_on(self, ref: "RevisionRef") -> int:
        self._loading, loads = True, 0
        while self._loading:
            await self._slots.load(ref)
            await self._slots.unload(ref)
            loads += 1
        return loads

    async def _stream(self, adapter: "Adapter | None", prompt: Sequence[int], answer_tokens: int) -> list[float]:
        """When each token came; nothing ends the answer early, and no prefix is cached from another."""
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.lora.request import LoRARequest
        from vllm.sampling_params import RequestOutputKind

        request = f"bench-{next(self._requests)}"
        sampling = SamplingParams(
            max_tokens=answer_tokens, temperature=0, ignore_eos=True, output_kind=RequestOutputKind.DELTA
        )
        lora = None
        if adapter is not None:
            lora = LoRARequest(lora_name=adapter.name, lora_int_id=adapter.number, lora_path=str(adapter.folder))
        outputs = self._llm.generate(
            tokens_input(list(prompt), cache_salt=request), sampling, request, lora_request=lora
        )
        moments: list[float] = []
        async for output in outputs:
            moments += [time.perf_counter()] * len(output.outputs[0].token_ids)
        return moments

    def _publish(self, folder: Path) -> "RevisionRef":
        """The adapter in the store, as a revision that no other is like."""
        from lift.template import PromptTemplate
        from storage.revisions import Manifest, describe, publish_files

        config = json.loads((folder / "adapter_config.json").read_text())
        manifest = Manifest(
            files=describe(folder),
            base_model=str(self._setup.base_model),
            base_model_revision=self._setup.base_model_revision,
            rank=config["r"],
            alpha=config["lora_alpha"],
            target_modules=tuple(config["target_modules"]),
            template=PromptTemplate.named("plain"),
            hyperparameters={"number": next(self._requests)},
            data_sha256="0" * 64,
            sentences=0,
            pairs=0,
            created_at=datetime.now(UTC),
        )
        return publish_files(self._objects, tenant="bench", adapter="bench", folder=folder, manifest=manifest)


async def serve(setup: dict[str, Any], say: Any) -> None:
    """Starts the engine, says so, and answers commands until stdin ends."""
    from vllm.config import CompilationConfig
    from vllm.v1.engine.async_llm import AsyncLLM

    from lift.settings import EngineSettings, ModelSettings, ObjectSettings
    from server.engine.preparing import Setup
    from server.engine.vllm_engine import VllmEngine, engine_args
    from storage.base_model import identify

    base_model = Path(setup["base_model"])
    engine, model = EngineSettings(**setup["engine"]), ModelSettings(**setup["model"])
    arguments = engine_args(base_model, engine, model)
    if not os.environ["VLLM_PLUGINS"]:
        arguments.distributed_executor_backend = None  # vLLM as it is published chooses its own
        arguments.compilation_config = CompilationConfig()
        arguments.max_loras = engine.batch_slots  # of which it copies and keeps each
    llm = AsyncLLM.from_engine_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="lift-bench-") as folder:
            of_revisions = Setup(
                objects=ObjectSettings(**setup["objects"]),
                folder=Path(folder),
                base_model=base_model,
                base_model_revision=identify(base_model),
                max_lora_rank=model.max_lora_rank,
                max_revision_bytes=engine.max_revision_bytes,
            )
            subject = Subject(llm, VllmEngine(llm, base_model), of_revisions, slots=engine.slots // 2)
            say({})
            while line := await asyncio.to_thread(sys.stdin.readline):
                command = json.loads(line)
                say(await getattr(subject, command.pop("do"))(**command))
            await subject.close()
    finally:
        llm.shutdown()


def main() -> None:
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what vLLM prints is no result

    def say(result: dict[str, Any]) -> None:
        results.write(json.dumps(result) + "\n")
        results.flush()

    logs.configure(level="WARNING", as_json=False, role="engine")
    asyncio.run(serve(json.loads(sys.stdin.readline()), say))


if __name__ == "__main__":
    main()
