"""Decoder layers by the kernel beside vLLM's own, and the products that they are made of."""

import shutil
import sys
from collections.abc import Iterator
from inspect import unwrap
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, Qwen2Config, Qwen3Config
from vllm.config import DeviceConfig, LoRAConfig, VllmConfig, set_current_vllm_config
from vllm.distributed import (
    cleanup_dist_env_and_memory,
    ensure_model_parallel_initialized,
    init_distributed_environment,
)
from vllm.lora.layers import (
    LoRAMapping,
    MergedColumnParallelLinearWithLoRA,
    MergedQKVParallelLinearWithLoRA,
    RowParallelLinearWithLoRA,
)
from vllm.model_executor.layers.linear import LinearBase
from vllm.model_executor.models.llama import LlamaDecoderLayer
from vllm.model_executor.models.qwen2 import Qwen2DecoderLayer
from vllm.model_executor.models.qwen3 import Qwen3DecoderLayer

from lift.native import COMPILERS
from lift.processor import processor
from server.engine.cpu import decoder, lora_layers
from server.engine.cpu.decoder import DecoderKernel
from server.engine.cpu.decoder_kernel import TileLinear, usable
from server.engine.cpu.segmented_lora import SegmentedLora

HAS_TILES = "avx512_bf16" in processor() and any(map(shutil.which, COMPILERS))

pytestmark = [
    pytest.mark.skipif(not HAS_TILES, reason="this processor has no tiles, or there is no compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 224,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "attention_bias": False,
}
CONFIGS = {LlamaDecoderLayer: LlamaConfig, Qwen2DecoderLayer: Qwen2Config, Qwen3DecoderLayer: Qwen3Config}
RANK, SLOTS = 16, 2
ROWS = (1, 5, 16, 17, 32, 33, 100, 400)


class Found(nn.Module):
    """In attention's place: something of queries, keys and values."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return queries + torch.cat([keys, values], dim=1)


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """vLLM's layers want a group of processes, and a configuration."""
    decoder.register()
    lora_layers.register()
    meeting = tmp_path_factory.mktemp("group") / "meeting"
    with set_current_vllm_config(VllmConfig(device_config=DeviceConfig("cpu"))):
        init_distributed_environment(1, 0, f"file://{meeting}", 0, backend="gloo")
        ensure_model_parallel_initialized(1, 1)
        yield
        cleanup_dist_env_and_memory()


def made(kind: type[nn.Module], **options: Any) -> Any:
    """A random decoder layer of vLLM's, with weights as it has them behind loading."""
    config = CONFIGS[kind](**{**SHAPE, **options})
    torch.manual_seed(3)
    vllm = VllmConfig(device_config=DeviceConfig("cpu"))
    vllm.model_config = SimpleNamespace(hf_config=config, dtype=torch.bfloat16)
    torch.set_default_dtype(torch.bfloat16)
    with set_current_vllm_config(vllm), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[kind.__module__], "Attention", Found)
        layer: Any = kind(vllm, "layers.0", config) if kind is LlamaDecoderLayer else kind(config, prefix="layers.0")
    torch.set_default_dtype(torch.float32)
    for parameter in layer.parameters():
        is_norm = parameter.dim() == 1 and len(parameter) == SHAPE["hidden_size"]
        scale, centre = (0.1, 1.0) if is_norm else (parameter.shape[-1] ** -0.5, 0.0)
        parameter.data = (centre + scale * torch.randn(parameter.shape)).bfloat16()
    for module in layer.modules():
        if isinstance(module, LinearBase):
            module.quant_method.process_weights_after_loading(module)
    return layer


def adapted(layer: Any) -> SegmentedLora:
    """Puts vLLM's LoRA around the layer's linear ones; what they share."""
    operator = SegmentedLora(512, 16, "cpu")
    config = LoRAConfig(max_lora_rank=RANK, max_loras=SLOTS, lora_dtype=torch.bfloat16)
    for parent, name, kind in (
        (layer.self_attn, "qkv_proj", MergedQKVParallelLinearWithLoRA),
        (layer.self_attn, "o_proj", RowParallelLinearWithLoRA),
        (layer.mlp, "gate_up_proj", MergedColumnParallelLinearWithLoRA),
        (layer.mlp, "down_proj", RowParallelLinearWithLoRA),
    ):
        module = kind(getattr(parent, name))
        module.create_lora_weights(SLOTS, config)
        module.set_mapping(operator)
        setattr(parent, name, module)
    return operator


def put(layer: Any, slot: int, rank: int, seed: int) -> None:
    """A random adapter into a slot."""
    generator = torch.Generator().manual_seed(seed)
    for module in (layer.self_attn.qkv_proj, layer.self_attn.o_proj, layer.mlp.gate_up_proj, layer.mlp.down_proj):
        a = [torch.randn(rank, of.shape[3], generator=generator) / of.shape[3] ** 0.5 for of in module.lora_a_stacked]
        b = [torch.randn(of.shape[2], rank, generator=generator) / rank**0.5 for of in module.lora_b_stacked]
        module.set_lora(slot, *((a, b) if len(a) > 1 else (a[0], b[0])))


def asked(rows: int, *, first: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Positions, hidden states and what is before them."""
    generator = torch.Generator().manual_seed(rows)
    hidden, residual = torch.randn(2, rows, SHAPE["hidden_size"], generator=generator).bfloat16()
    positions = torch.randint(0, SHAPE["max_position_embeddings"], (rows,), generator=generator)
    return positions, hidden, None if first else residual


def close(found: Tensor, expected: Tensor) -> None:
    """Each row up to what is rounded to bf16 on the way, which has a relative error of 0.4 % each time."""
    wrong = (found.float() - expected.float()).norm(dim=-1)
    assert (wrong <= 0.03 * expected.float().norm(dim=-1)).all()


def check(layer: Any, rows: int, *, first: bool = False) -> None:
    """Kernel and vLLM say the same of as many rows."""
    kernel = DecoderKernel.of(layer)
    assert kernel is not None
    positions, hidden, residual = asked(rows, first=first)
    expected = unwrap(type(layer).forward)(layer, positions, hidden.clone(), None if first else residual.clone())
    found = kernel(positions, hidden, residual)
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_a_processor_with_tiles_has_the_kernel():
    assert usable()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("first", [True, False])
def test_a_layer_computes_what_vllms_does(rows, first):
    check(made(LlamaDecoderLayer), rows, first=first)


@pytest.mark.parametrize(("kind", "options"), [(Qwen2DecoderLayer, {}), (LlamaDecoderLayer, {"attention_bias": True})])
@pytest.mark.parametrize("rows", [3, 40])
def test_biases_are_added(kind, options, rows):
    layer = made(kind, **options)
    assert layer.self_attn.qkv_proj.bias is not None
    check(layer, rows)


@pytest.mark.parametrize("rows", ROWS)
def test_adapters_of_a_batch_are_added(rows):
    layer = made(LlamaDecoderLayer)
    operator = adapted(layer)
    put(layer, 0, RANK, seed=1)
    put(layer, 1, 4, seed=2)
    of_rows = ([7] * (rows // 2) + [0, 8] * rows)[:rows]
    operator.update_metadata(LoRAMapping(tuple(of_rows), (), is_prefill=True), [7, 8], SLOTS + 1, 100)
    check(layer, rows)


def test_an_adapter_that_takes_anothers_place_is_seen():
    layer = made(LlamaDecoderLayer)
    operator = adapted(layer)
    put(layer, 0, 4, seed=1)
    positions, hidden, residual = asked(6, first=False)
    operator.update_metadata(LoRAMapping((7,) * 6, (), is_prefill=True), [7, None], SLOTS + 1, 100)
    kernel = DecoderKernel.of(layer)
    before, _ = kernel(positions, hidden, residual.clone())
    put(layer, 0, RANK, seed=2)
    behind, _ = kernel(positions, hidden, residual.clone())
    expected, _ = unwrap(LlamaDecoderLayer.forward)(layer, positions, hidden.clone(), residual.clone())
    close(behind, expected)
    assert (behind - before).abs().max() > 0.1


def test_a_row_that_is_no_number_stays_alone():
    layer = made(LlamaDecoderLayer)
    kernel = DecoderKernel.of(layer)
    positions, hidden, residual = asked(40, first=False)
    whole, _ = kernel(positions, hidden, residual.clone())
    hidden[3] = torch.nan
    spoiled, _ = kernel(positions, hidden, residual.clone())
    assert spoiled[3].isnan().all()
    others = [row for row in range(40) if row != 3]
    assert torch.equal(spoiled[others], whole[others])


def test_what_does_not_fit_stays_vllms():
    assert DecoderKernel.of(made(Qwen3DecoderLayer)) is None
    odd = made(LlamaDecoderLayer, intermediate_size=200)
    assert not isinstance(odd.mlp.down_proj.cpu_linear, TileLinear)
    assert DecoderKernel.of(odd) is None
    positions, hidden, _ = asked(3, first=True)
    expected, _ = unwrap(LlamaDecoderLayer.forward)(odd, positions, hidden.clone(), None)
    added, _ = odd(positions, hidden, None)
    assert torch.equal(added, expected)


def test_a_layer_of_vllms_asks_the_kernel(monkeypatch):
    layer = made(LlamaDecoderLayer)
    asked_for = []
    monkeypatch.setattr(DecoderKernel, "__call__", lambda _, *states: asked_for.append(states) or states[1:])
    states = asked(3, first=False)
    layer(*states)
    assert asked_for == [states]


@pytest.mark.parametrize("rows", ROWS)
def test_a_product_alone_has_the_shape_of_its_input(rows):
    torch.manual_seed(rows)
    weight, bias = torch.randn(96, 64).bfloat16(), torch.randn(96).bfloat16()
    x = torch.randn(2, rows, 64).bfloat16()
    expected = x.float() @ weight.float().t() + bias.float()
    found = TileLinear(weight)(x, torch.empty(0), bias)
    close(found, expected)
