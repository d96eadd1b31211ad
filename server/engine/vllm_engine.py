"""The one module that knows vLLM: turns the settings into a running AsyncLLM, and prompts into streams of text.

Everything here was read in, and tried with, vLLM 0.32. Importing it imports vLLM, so `environment` must hold before.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any, Self

import structlog
from transformers import AutoConfig, AutoTokenizer
from vllm import AsyncEngineArgs, SamplingParams
from vllm.inputs.engine import tokens_input
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from lift.errors import EngineUnavailable, RevisionNotResident, RevisionRejected
from lift.processor import dtype_for
from lift.settings import EngineSettings, ModelSettings
from server.engine.llm import Adapter, Delta, Sampling
from server.engine.outputs import delta

log = structlog.get_logger()

CPU_BLOCK_TOKENS = 32
"""vLLM's default on CPU is 128, which no shared prefix of our short prompts fills; its kernels want multiples of 32."""

LORA_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""What `storage.validation` lets through. Without it vLLM also keeps buffers for the embeddings and the head, and works
through them at each step; and a head with LoRA would not know the rows of prompts' log-probabilities."""

PRELOADING = "server.engine.cpu.preloading.Preloading"
READ_SECONDS = 0.02  # between questions whether an adapter has been read, each of which the engine's loop answers
WATCH_SECONDS = 0.5
BASE = 0
"""Stands for no adapter; adapters' numbers begin at 1."""


def engine_args(folder: Path, engine: EngineSettings, model: ModelSettings) -> AsyncEngineArgs:
    """What vLLM is started with. The GPU's part was not measured."""
    config = AutoConfig.from_pretrained(folder).get_text_config()
    own = bool(engine.writer)
    device: dict[str, Any] = {
        "max_loras": min(engine.batch_slots, engine.slots) + own,
        "gpu_memory_utilization": engine.gpu_memory_utilization,
    }
    if current_platform.is_cpu():
        device = {
            "max_loras": engine.slots + own,  # which take no memory there (server/engine/cpu/lora_layers.py)
            "block_size": CPU_BLOCK_TOKENS,
            "kv_cache_memory_bytes": int(engine.cpu_kv_cache_gib * (1 << 30)),
            "distributed_executor_backend": UniProcExecutor,  # for a worker's process a core would do nothing but wait
            "compilation_config": {"custom_ops": ["+rotary_embedding"]},  # a kernel, where it would be ten operators
        }
    return AsyncEngineArgs(
        model=str(folder),
        dtype=dtype_for(model.dtype, on_cpu=current_platform.is_cpu()),
        max_model_len=min(engine.max_model_len, getattr(config, "max_position_embeddings", engine.max_model_len)),
        max_num_seqs=engine.max_num_seqs,
        enable_prefix_caching=True,
        enable_lora=True,
        max_cpu_loras=engine.slots + own,
        max_lora_rank=model.max_lora_rank,
        lora_target_modules=LORA_MODULES,
        worker_extension_cls=PRELOADING,
        disable_log_stats=True,
        **device,
    )


class VllmEngine:
    """`server.engine.llm.LLM` on vLLM, whose engine is a process of its own, as workers on GPUs may be."""

    def __init__(self, llm: AsyncLLM, folder: Path) -> None:
        self._llm = llm
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._tokenizing = threading.Lock()  # threads tokenize documents; the event loop's must not wait for them
        self._decoding = AutoTokenizer.from_pretrained(folder)
        self._vocabulary = frozenset(self._tokenizer.get_vocab())
        self._ids = count(1)
        self._requests: dict[int, set[str]] = {BASE: set()}

    @classmethod
    def start(cls, folder: Path, engine: EngineSettings, model: ModelSettings) -> Self:
        """Loads the base model; called on the event loop's thread, which it holds for half a minute."""
        return cls(AsyncLLM.from_engine_args(engine_args(folder, engine, model)), folder)

    def shutdown(self) -> None:
        """Ends vLLM's processes."""
        self._llm.shutdown()

    async def died(self) -> None:
        """Returns once vLLM's engine process is gone, which nothing brings back in this process."""
        while not self._llm.errored:  # noqa: ASYNC110 - vLLM offers nothing to wait for
            await asyncio.sleep(WATCH_SECONDS)

    @property
    def unfinished(self) -> int:
        """Answers that vLLM still writes."""
        return int(self._llm.get_num_unfinished_requests())

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together; an answer of none takes one, too."""
        return int(self._llm.model_config.max_model_len)

    @property
    def vocabulary(self) -> Collection[str]:
        """The tokenizer's tokens."""
        return self._vocabulary

    def encode(self, text: str, *, whole: bool = False) -> tuple[int, ...]:
        """Token ids; `whole` puts the tokens around it that the tokenizer puts around a text of its own."""
        with self._tokenizing:
            return tuple(self._tokenizer(text, add_special_tokens=whole)["input_ids"])

    def cut(self, text: str, max_tokens: int) -> str:
        """The start of a text that is at most that many tokens."""
        if max_tokens < 1:
            return ""
        with self._tokenizing:
            ends = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return text if len(ends) <= max_tokens else text[: ends[max_tokens - 1][1]]

    def _decode(self, token: int) -> str:
        return str(self._decoding.decode([token]))

    async def generate(
        self, tokens: Sequence[int], sampling: Sampling, *, salt: str, adapter: Adapter | None = None
    ) -> AsyncGenerator[Delta]:
        """Writes on from a prompt; closing the stream stops it. RevisionNotResident, EngineUnavailable."""
        request = str(next(self._ids))
        running = self._requests.get(adapter.number if adapter else BASE)
        if running is None:
            raise RevisionNotResident()
        running.add(request)
        written = 0
        prompt = tokens_input(list(tokens), cache_salt=salt)
        lora = _lora_request(adapter) if adapter else None
        try:
            outputs = self._llm.generate(prompt, _sampling_params(sampling), request, lora_request=lora)
            async with aclosing(outputs):
                async for output in outputs:
                    added = delta(output, tokens, sampling.max_tokens, written, self._decode)
                    written = added.completion_tokens
                    yield added
        except EngineDeadError as error:
            raise EngineUnavailable() from error
        finally:
            running.discard(request)

    async def add(self, adapter: Adapter) -> None:
        """Loads an adapter. RevisionRejected, EngineUnavailable."""
        try:
            await self._llm.collective_rpc("preload", args=(adapter.name, adapter.number, str(adapter.folder)))
            while not all(await self._llm.collective_rpc("preloaded", args=(adapter.number,))):  # noqa: ASYNC110 - as above
                await asyncio.sleep(READ_SECONDS)
            await self._llm.add_lora(_lora_request(adapter))
            self._requests[adapter.number] = set()
        except EngineDeadError as error:
            raise EngineUnavailable() from error
        except Exception as error:  # vLLM sends what failed in its process back as a bare Exception
            log.warning("adapter_refused", adapter_number=adapter.number, exc_info=error)
            raise RevisionRejected(problem="the engine cannot load it") from error

    async def remove(self, adapter: Adapter) -> None:
        """Takes an adapter out. EngineUnavailable."""
        self._requests.pop(adapter.number, None)
        try:
            await self._llm.remove_lora(adapter.number)
        except EngineDeadError as error:
            raise EngineUnavailable() from error

    async def resident(self) -> frozenset[int]:
        """Numbers of the adapters that are in. EngineUnavailable."""
        try:
            return frozenset(await self._llm.list_loras())
        except EngineDeadError as error:
            raise EngineUnavailable() from error

    async def abort(self, adapter: Adapter) -> None:
        """Ends every answer that uses the adapter, with finish_reason abort, and begins no other."""
        await self._llm.abort(list(self._requests.pop(adapter.number, ())))


def _sampling_params(sampling: Sampling) -> SamplingParams:
    return SamplingParams(
        max_tokens=max(1, sampling.max_tokens),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        stop=list(sampling.stop),
        stop_token_ids=list(sampling.stop_tokens),
        logprobs=sampling.logprobs,
        prompt_logprobs=sampling.logprobs if sampling.echo else None,
        output_kind=RequestOutputKind.DELTA,
    )


def _lora_request(adapter: Adapter) -> LoRARequest:
    return LoRARequest(lora_name=adapter.name, lora_int_id=adapter.number, lora_path=str(adapter.folder))
