"""Computes vLLM's decoder layers of Llama's shape by decoder.cpp, on CPUs with tiles (lift/tiles.h).

vLLM calls some twenty operators a layer from Python, each of which starts and ends all threads: half of the time of a
step for few rows. Here what stands before attention is one call, with the LoRA deltas of the batch, and so is what
stands behind it.

What does not fit (another shape, a quantised layer, norms of queries and keys, several devices) stays as vLLM has it.
"""

import ctypes
from collections.abc import Callable, Sequence
from ctypes import byref
from functools import wraps
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn
from vllm.model_executor.layers import utils
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding
from vllm.model_executor.models.llama import LlamaDecoderLayer
from vllm.model_executor.models.mistral import MistralDecoderLayer
from vllm.model_executor.models.qwen2 import Qwen2DecoderLayer

from server.engine.cpu.decoder_kernel import Decoder, Deltas, Step, TileLinear, run, usable
from server.engine.cpu.lora_layers import Layer
from server.engine.cpu.segmented_lora import Batch, SegmentedLora

DECODER_LAYERS = (LlamaDecoderLayer, MistralDecoderLayer, Qwen2DecoderLayer)
KERNEL = "_lift_kernel"

States: TypeAlias = tuple[Tensor, Tensor]
Dispatch: TypeAlias = Callable[[Any, bool], None]
Forward: TypeAlias = Callable[..., States]


def register() -> None:
    """Has vLLM lay out weights for the kernel, and call it. Repeated calls change nothing."""
    if not usable() or hasattr(utils.dispatch_cpu_unquantized_gemm, "__wrapped__"):
        return
    utils.dispatch_cpu_unquantized_gemm = _dispatching(utils.dispatch_cpu_unquantized_gemm)
    for layer in DECODER_LAYERS:
        layer.forward = _forward(layer.forward)


class DecoderKernel:
    """One decoder layer of vLLM's."""

    def __init__(self, layer: Any) -> None:
        attention, modules = layer.self_attn, _linear_modules(layer)
        norms = layer.input_layernorm, layer.post_attention_layernorm
        self._attention = attention.attn
        self._sizes = [attention.q_size, attention.kv_size, attention.kv_size]
        self._adapters = _Adapters(modules) if hasattr(modules[0], "punica_wrapper") else None
        loras = self._adapters.kernels if self._adapters else [None] * len(modules)
        bases = [_base(module) for module in modules]
        self._turns = attention.rotary_emb.cos_sin_cache.to(torch.bfloat16)
        self._decoder = Decoder(
            *(base.cpu_linear.linear(base.bias, lora) for base, lora in zip(bases, loras, strict=True)),
            *(norm.weight.data_ptr() for norm in norms),
            self._turns.data_ptr(),
            *(attention.num_heads, attention.num_kv_heads, attention.head_dim),
            norms[0].variance_epsilon,
        )
        self._no_deltas = (Deltas * len(modules))()

    @classmethod
    def of(cls, layer: nn.Module) -> Self | None:
        """None where the layer does not fit."""
        return cls(layer) if _fits(layer) else None

    def __call__(self, positions: Tensor, hidden: Tensor, residual: Tensor | None) -> States:
        """As vLLM's layer: what is added to the sum, and the sum before it; in the memory of `residual`, if any.

        positions [n], the others [n, d].
        """
        layer, step = byref(self._decoder), byref(_steps(positions))
        deltas = self._adapters.deltas() if self._adapters else self._no_deltas
        total = torch.empty_like(hidden) if residual is None else residual
        qkv = hidden.new_empty(len(hidden), sum(self._sizes))
        is_sum = residual is not None
        run().before_attention(layer, step, deltas, hidden.data_ptr(), total.data_ptr(), is_sum, qkv.data_ptr())
        found = self._attention(*qkv.split(self._sizes, dim=-1)).contiguous()
        added = torch.empty_like(hidden)
        run().behind_attention(layer, step, deltas, found.data_ptr(), total.data_ptr(), added.data_ptr())
        return added, total


class _Adapters:
    """The adapters of a decoder layer's linear layers."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self._operator: SegmentedLora = modules[0].punica_wrapper
        self._layers: list[Layer] = [module.lora_a_stacked.layer for module in modules]
        self.kernels = [layer.kernel for layer in self._layers]
        self._deltas = (Deltas * len(modules))()
        self._batch: Batch | None = None
        self._version = 0

    def deltas(self) -> "ctypes.Array[Deltas]":
        """Those of the batch, found once for each batch and change of adapters, which changes all linear layers."""
        version = self._layers[0].version
        if self._operator.tokens is not self._batch or version != self._version:
            for deltas, layer in zip(self._deltas, self._layers, strict=True):
                split = self._operator.split(layer)
                deltas.few = split.few and ctypes.addressof(split.few)
                deltas.many = split.many and ctypes.addressof(split.many)
            self._batch, self._version = self._operator.tokens, version
        return self._deltas


class _Steps:
    """The step that is being computed: all its layers are given the same positions."""

    def __init__(self) -> None:
        self._last = Step(0)

    def __call__(self, positions: Tensor) -> Step:
        if positions is not self._last.kept:
            self._last = Step(len(positions), positions)
        return self._last


_steps = _Steps()


def _dispatching(vllms: Dispatch) -> Dispatch:
    """vLLM's choice of a product for a layer whose weight has been read, behind ours."""

    @wraps(vllms)
    def dispatch(layer: Any, remove_weight: bool) -> None:
        tiles = TileLinear.of(getattr(layer, "weight", None)) if remove_weight else None
        if tiles is None:
            vllms(layer, remove_weight)
            return
        layer.cpu_linear = tiles
        layer.weight = nn.Parameter(torch.empty(0, dtype=layer.weight.dtype), requires_grad=False)

    return dispatch


def _forward(vllms: Forward) -> Forward:
    """vLLM's forward of a decoder layer, behind ours."""

    @wraps(vllms)
    def forward(layer: Any, positions: Tensor, hidden_states: Tensor, residual: Tensor | None, *more: Any) -> States:
        if KERNEL not in layer.__dict__:  # the first step: what a layer is made of does not change any more
            layer.__dict__[KERNEL] = DecoderKernel.of(layer)
        kernel: DecoderKernel | None = layer.__dict__[KERNEL]
        if kernel is None or any(part is not None for part in more) or not hidden_states.is_contiguous():
            return vllms(layer, positions, hidden_states, residual, *more)
        return kernel(positions, hidden_states, residual)

    return forward


def _linear_modules(layer: Any) -> tuple[Any, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    return attention.qkv_proj, attention.o_proj, mlp.gate_up_proj, mlp.down_proj


def _base(module: Any) -> Any:
    """A linear layer of vLLM's without its LoRA."""
    return getattr(module, "base_layer", module)


def _fits(layer: Any) -> bool:
    attention, modules = layer.self_attn, _linear_modules(layer)
    bases = [_base(module) for module in modules]
    norms = layer.input_layernorm, layer.post_attention_layernorm
    rotary = attention.rotary_emb
    return (
        type(layer) in DECODER_LAYERS
        and all(isinstance(getattr(base, "cpu_linear", None), TileLinear) for base in bases)
        and all(base.tp_size == 1 and not base.skip_bias_add for base in bases)
        and len({hasattr(module, "punica_wrapper") for module in modules}) == 1
        and all(type(norm) is RMSNorm and norm.variance_size_override is None for norm in norms)
        and all(norm.weight.dtype == torch.bfloat16 for norm in norms)
        and type(rotary).forward_cpu is RotaryEmbedding.forward_cpu
        and rotary.is_neox_style
        and rotary.rotary_dim == attention.head_dim
        and type(layer.mlp.act_fn) is SiluAndMul
        and not any(getattr(attention, special, False) for special in ("qk_norm", "do_llama_4_scaling"))
        and getattr(layer, "ada_rms_norm_t_cond", None) is None
    )
