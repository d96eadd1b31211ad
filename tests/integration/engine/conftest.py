"""One real engine on a tiny random base model, for all integration tests of the engine, and revisions for it."""

import json
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from pydantic import SecretStr

from lift.internal.v1 import engine_pb2 as pb
from lift.internal.v1 import engine_pb2_grpc
from lift.settings import EngineSettings, ModelSettings, ObjectSettings, Settings
from lift.template import PromptTemplate
from server.engine.environment import environment
from server.engine.serving import Ports, serving
from storage.base_model import identify
from storage.catalogue import Catalogue
from storage.files import MANIFEST
from storage.records import RevisionRef
from storage.revisions import Manifest, describe, publish_files
from storage.s3 import S3Objects

os.environ.update({name: value for name, value in environment(Settings()).items() if name.startswith("VLLM_")})
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about itself while vLLM imports it
    import server.engine.cpu.segmented_lora  # noqa: F401 - so that the tests that import it are not warned
    from server.engine.vllm_engine import VllmEngine

NODE_TOKEN = "node-token"
WINDOW = 160
HIDDEN, LAYERS, HEADS, KEY_HEADS, INNER = 128, 2, 4, 2, 128
SHAPES = {
    "q_proj": ("self_attn", HIDDEN, HIDDEN),
    "k_proj": ("self_attn", HIDDEN, HIDDEN // HEADS * KEY_HEADS),
    "v_proj": ("self_attn", HIDDEN, HIDDEN // HEADS * KEY_HEADS),
    "o_proj": ("self_attn", HIDDEN, HIDDEN),
    "gate_proj": ("mlp", HIDDEN, INNER),
    "up_proj": ("mlp", HIDDEN, INNER),
    "down_proj": ("mlp", INNER, HIDDEN),
}
"""Block, inputs and outputs of the linear layers of the tiny model."""


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers that spells in printable ASCII and never writes a control token."""
    folder = tmp_path_factory.mktemp("base-model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        letters = [*map(chr, range(33, 127)), *"ĠĊ"]  # the last two are how byte-level tokens write " " and "\n"
        tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate([*marks, *letters])}, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|endoftext|>")
        fast.add_special_tokens({"additional_special_tokens": marks})
        fast.save_pretrained(folder)
        torch.manual_seed(7)
        config = LlamaConfig(
            vocab_size=len(marks) + len(letters),
            hidden_size=HIDDEN,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_HEADS,
            max_position_embeddings=WINDOW,
            initializer_range=0.3,
            tie_word_embeddings=False,
            eos_token_id=2,
            bos_token_id=0,
        )
        model = LlamaForCausalLM(config)
        model.lm_head.weight.data[: len(marks)] = 0
        model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def settings_for(base_model: Path, objects: ObjectSettings, state: Path, **engine: Any) -> Settings:
    """Settings of an engine on free ports."""
    small = {"slots": 2, "max_model_len": WINDOW, "max_num_seqs": 16, "cpu_kv_cache_gib": 0.05}
    here = {"port": 0, "http_port": 0, "threads": 2, "drain_seconds": 0.02}
    return Settings(
        state_dir=state,
        node_token=SecretStr(NODE_TOKEN),
        objects=objects,
        model=ModelSettings(base_model=str(base_model), max_lora_rank=16),
        engine=EngineSettings(**{**small, **here, **engine}),
    )


@pytest.fixture
def make_settings(base_model: Path, s3_settings: ObjectSettings) -> Callable[..., Settings]:
    """make_settings(state_folder, **engine_settings)."""
    return partial(settings_for, base_model, s3_settings)


@dataclass(kw_only=True)
class Press:
    """Makes revisions of random weights, and puts them into a store."""

    objects: S3Objects
    base_model: Path
    folder: Path

    def publish(
        self,
        adapter: str,
        *,
        tenant: str = "acme",
        rank: int = 8,
        seed: int = 1,
        base_model_revision: str | None = None,
        change: Callable[[dict[str, Any]], None] = lambda _: None,
        in_fp32: bool = False,
    ) -> RevisionRef:
        """`change` may spoil the tensors before they are saved, in bf16; `in_fp32`: the same numbers in fp32."""
        folder = self.folder / f"{tenant}-{adapter}-{seed}"
        options = {"base_model_revision": base_model_revision, "change": change, "in_fp32": in_fp32}
        manifest = self.write(folder, rank=rank, seed=seed, **options)
        return publish_files(self.objects, tenant=tenant, adapter=adapter, folder=folder, manifest=manifest)

    def write(
        self,
        folder: Path,
        *,
        rank: int = 8,
        seed: int = 1,
        base_model_revision: str | None = None,
        change: Callable[[dict[str, Any]], None] = lambda _: None,
        in_fp32: bool = False,
    ) -> Manifest:
        """The files of a revision in a new folder."""
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True)
        tensors = self.weights(rank, seed)
        change(tensors)
        dtype = torch.float32 if in_fp32 else torch.bfloat16
        save_file(
            {name: torch.from_numpy(tensor).bfloat16().to(dtype) for name, tensor in tensors.items()},
            folder / "adapter_model.safetensors",
        )
        config = {
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": 2 * rank,
            "target_modules": list(SHAPES),
            "bias": "none",
        }
        (folder / "adapter_config.json").write_text(json.dumps(config))
        manifest = Manifest(
            files=describe(folder),
            base_model=str(self.base_model),
            base_model_revision=base_model_revision or identify(self.base_model),
            rank=rank,
            alpha=2.0 * rank,
            target_modules=tuple(SHAPES),
            template=PromptTemplate.named("chatml"),
            hyperparameters={"seed": seed},
            data_sha256="0" * 64,
            sentences=1,
            pairs=1,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        (folder / MANIFEST).write_bytes(manifest.to_bytes())
        return manifest

    @staticmethod
    def weights(rank: int, seed: int) -> dict[str, Any]:
        """Random A [r, in] and B [out, r] of every layer."""
        random = np.random.default_rng(seed)
        tensors = {}
        for layer in range(LAYERS):
            for module, (block, inputs, outputs) in SHAPES.items():
                name = f"base_model.model.model.layers.{layer}.{block}.{module}"
                a = random.standard_normal((rank, inputs)) / inputs**0.5
                tensors[f"{name}.lora_A.weight"] = a.astype(np.float32)
                tensors[f"{name}.lora_B.weight"] = random.standard_normal((outputs, rank)).astype(np.float32)
        return tensors


@pytest.fixture
def make_press(base_model: Path, s3_settings: ObjectSettings) -> Iterator[Callable[[Path], Press]]:
    """make_press(folder)."""
    objects = S3Objects(s3_settings)
    yield lambda folder: Press(objects=objects, base_model=base_model, folder=folder)
    objects.close()


@dataclass(frozen=True, kw_only=True)
class Node:
    """A serving engine, what it stands on, and its service."""

    settings: Settings
    ports: Ports
    llm: VllmEngine
    catalogue: Catalogue
    press: Press
    stub: Any
    channel: grpc.aio.Channel

    metadata = (("authorization", f"Bearer {NODE_TOKEN}"),)
    writer_seed = 77  # of its question writer's weights

    async def load(self, ref: RevisionRef) -> pb.LoadRevisionResponse:
        return await self.stub.LoadRevision(pb.LoadRevisionRequest(revision=message(ref)), metadata=self.metadata)

    async def unload(self, ref: RevisionRef) -> bool:
        request = pb.UnloadRevisionRequest(revision=message(ref))
        return bool((await self.stub.UnloadRevision(request, metadata=self.metadata)).was_resident)

    def answer(self, ref: RevisionRef | None = None, **fields: Any) -> Any:
        """The call, which streams."""
        return self.stub.Answer(answer_request(ref, **fields), metadata=self.metadata)

    async def text(self, ref: RevisionRef | None = None, **fields: Any) -> tuple[str, pb.AnswerEnd]:
        """The whole answer."""
        messages = [message async for message in self.answer(ref, **fields)]
        return "".join(message.delta for message in messages), messages[-1].end


def message(ref: RevisionRef) -> pb.RevisionRef:
    return pb.RevisionRef(tenant=ref.tenant, adapter=ref.adapter, digest=ref.digest)


def answer_request(ref: RevisionRef | None = None, **fields: Any) -> pb.AnswerRequest:
    asked = {"tenant": "acme", "prompt": "Once upon", "max_tokens": 12, "temperature": 0.0, "top_p": 1.0, **fields}
    return pb.AnswerRequest(revision=message(ref) if ref else None, **asked)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node(
    base_model: Path, s3_settings: ObjectSettings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Node]:
    """vLLM, started once for the session."""
    state = tmp_path_factory.mktemp("engine")
    settings = settings_for(base_model, s3_settings, state, writer=str(state / "writer"))
    catalogue = Catalogue(f"sqlite:///{state / 'lift.sqlite'}")
    catalogue.migrate()
    objects = S3Objects(s3_settings)
    press = Press(objects=objects, base_model=base_model, folder=state / "press")
    press.write(state / "writer", seed=Node.writer_seed)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in environment(settings).items():
            patch.setenv(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            llm = VllmEngine.start(base_model, settings.engine, settings.model)
        stack.callback(catalogue.close)
        stack.callback(objects.close)
        stack.callback(llm.shutdown)
        async with (
            serving(
                settings,
                llm,
                catalogue=catalogue,
                base_model=base_model,
                base_model_revision=identify(base_model),
            ) as ports,
            grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel,
        ):
            yield Node(
                settings=settings,
                ports=ports,
                llm=llm,
                catalogue=catalogue,
                press=press,
                stub=engine_pb2_grpc.EngineServiceStub(channel),
                channel=channel,
            )
