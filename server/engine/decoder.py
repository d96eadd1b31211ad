"""Computes vLLM's decoder layers of Llama's shape by decoder.cpp, on CPUs with matrix tiles.

vLLM calls some twenty operators a layer from Python, each of which starts and ends all threads: for a single row half of a
step's time. Here all that stands before attention is one call, with the LoRA deltas of the batch, and so is all behind it.

What does not fit (another shape, a quantised layer, norms of queries and keys, several devices) stays as vLLM has it.
"""

import ctypes
from collections.abc import Callable
from functools import cache
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

from server.engine.lora_kernel import TILE_WIDTH, compiled, lora_kernel, lora_tiles
from server.engine.segmented_lora import Batch, Layer, SegmentedLora

FILE = "decoder.cpp"
DECODER_LAYERS = (LlamaDecoderLayer, MistralDecoderLayer, Qwen2DecoderLayer)
LINEAR_LAYERS = 4

States: TypeAlias = tuple[Tensor, Tensor]
Forward: TypeAlias = Callable[..., States]


def register() -> None:
    """Has vLLM lay out weights for the kernel, and call it. Repeated calls change nothing."""
    if _kernel() is None or utils.dispatch_cpu_unquantized_gemm.__module__ == __name__:
        return
    utils.dispatch_cpu_unquantized_gemm = _dispatching(utils.dispatch_cpu_unquantized_gemm)
    for layer in DECODER_LAYERS:
        layer.forward = _forward(layer.forward)


class _Linear(ctypes.Structure):
    """As decoder.cpp has it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "bias", "lora")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
    )


class _Decoder(ctypes.Structure):
    """As decoder.cpp has it."""

    _fields_ = (
        *((name, _Linear) for name in ("qkv", "o", "gate_up", "down")),
        *((name, ctypes.c_void_p) for name in ("input_norm", "inner_norm", "turns")),
        *((name, ctypes.c_int64) for name in ("heads", "key_heads", "head")),
        ("epsilon", ctypes.c_float),
    )


class _Deltas(ctypes.Structure):
    """As decoder.cpp has it."""

    _fields_ = (("few", ctypes.c_void_p), ("many", ctypes.c_void_p))


class _Step(ctypes.Structure):
    """The rows of a step, Batch in decoder.cpp."""

    _fields_ = (
        ("places", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("rows", "threads")),
        *((name, ctypes.c_void_p) for name in ("few", "many")),
    )

    def __init__(self, positions: Tensor) -> None:
        few, many = lora_kernel(), lora_tiles()
        self.positions = positions  # what the address is of
        super().__init__(
            positions.data_ptr(),
            len(positions),
            torch.get_num_threads(),
            few and few.address,
            many and many.address,
        )


@cache
def _kernel() -> ctypes.CDLL | None:
    """None where it cannot be compiled, or the processor has no tiles."""
    functions = compiled(FILE) if lora_kernel() and lora_tiles() else None
    if functions is None or not functions.usable():
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    functions.lay_out.argtypes = [pointer, pointer, number, number]
    functions.linear.argtypes = [pointer] * 4
    functions.before_attention.argtypes = [*[pointer] * 5, ctypes.c_int, pointer]
    functions.behind_attention.argtypes = [pointer] * 6
    for function in (functions.lay_out, functions.linear, functions.before_attention, functions.behind_attention):
        function.restype = None
    return functions


class TileLinear:
    """y = W x + bias in the place of vLLM's product; W [out, in] lies as tiles read it."""

    def __init__(self, weight: Tensor) -> None:
        self.outputs, self.inputs = weight.shape
        self.panels = torch.empty_like(weight)
        _run().lay_out(weight.data_ptr(), self.panels.data_ptr(), self.outputs, self.inputs)

    @classmethod
    def of(cls, layer: nn.Module) -> Self | None:
        """None where the layer's weight does not fit."""
        weight = getattr(layer, "weight", None)
        fits = (
            weight is not None
            and weight.dtype == torch.bfloat16
            and weight.dim() == 2  # noqa: PLR2004
            and weight.is_contiguous()
            and not any(size % TILE_WIDTH for size in weight.shape)
        )
        return cls(weight.detach()) if fits else None

    def __call__(self, x: Tensor, _: Tensor, bias: Tensor | None) -> Tensor:
        """x [..., in] -> [..., out]; vLLM's weight is empty."""
        x = x.contiguous()
        y = x.new_empty(*x.shape[:-1], self.outputs)
        step = _Step(torch.empty(x.numel() // self.inputs, dtype=torch.int64))
        _run().linear(ctypes.addressof(self.linear(bias)), ctypes.addressof(step), x.data_ptr(), y.data_ptr())
        return y

    def linear(self, bias: Tensor | None, lora: Layer | None = None) -> _Linear:
        """The layer for the kernel."""
        return _Linear(
            self.panels.data_ptr(),
            None if bias is None else bias.data_ptr(),
            ctypes.addressof(lora.kernel) if lora else None,
            self.inputs,
            self.outputs,
        )


class _Kernel:
    """One decoder layer of vLLM's."""

    def __init__(self, layer: nn.Module) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        modules = (attention.qkv_proj, attention.o_proj, mlp.gate_up_proj, mlp.down_proj)
        self._attention = attention.attn
        self._sizes = [attention.q_size, attention.kv_size, attention.kv_size]
        self._operator, self._loras = _loras(modules)
        self._batch: Batch | None = None
        self._version = 0
        self._deltas = (_Deltas * LINEAR_LAYERS)()
        turns = attention.rotary_emb.cos_sin_cache.to(torch.bfloat16)
        linears = [_base(module).cpu_linear.linear(_base(module).bias, lora) for module, lora in zip(modules, self._loras, strict=True)]
        norms = layer.input_layernorm, layer.post_attention_layernorm
        self._decoder = _Decoder(
            *linears,
            *(norm.weight.data_ptr() for norm in norms),
            turns.data_ptr(),
            *(attention.num_heads, attention.num_kv_heads, attention.head_dim),
            norms[0].variance_epsilon,
        )
        self._kept = layer, turns  # what the addresses are of

    @classmethod
    def of(cls, layer: nn.Module) -> Self | None:
        """None where the layer does not fit."""
        return cls(layer) if _fits(layer) else None

    def __call__(self, positions: Tensor, hidden: Tensor, residual: Tensor | None) -> States:
        """As vLLM's layer: hidden [n, d] and the sum before it, in whose memory the new one is."""
        step, deltas = ctypes.addressof(_step(positions)), ctypes.addressof(self._deltas_of_batch())
        layer = ctypes.addressof(self._decoder)
        total = torch.empty_like(hidden) if residual is None else residual
        qkv = hidden.new_empty(len(hidden), sum(self._sizes))
        run = _run()
        run.before_attention(
            layer, step, deltas, hidden.data_ptr(), total.data_ptr(), residual is not None, qkv.data_ptr()
        )
        found = self._attention(*qkv.split(self._sizes, dim=-1)).contiguous()
        added = torch.empty_like(hidden)
        run.behind_attention(layer, step, deltas, found.data_ptr(), total.data_ptr(), added.data_ptr())
        return added, total

    def _deltas_of_batch(self) -> "ctypes.Array[_Deltas]":
        """Those of the batch's adapters, found once for each batch and change of adapters."""
        operator = self._operator
        if operator is None:
            return self._deltas
        version = self._loras[0].a[0]._version
        if operator.tokens is not self._batch or version != self._version:
            for deltas, lora in zip(self._deltas, self._loras, strict=True):
                split = operator.split(lora)
                deltas.few = split.few and ctypes.addressof(split.few)
                deltas.many = split.many and ctypes.addressof(split.many)
            self._batch, self._version = operator.tokens, version
        return self._deltas


class _Steps:
    """The step that is being computed: all its layers have the same positions."""

    def __init__(self) -> None:
        self._last = _Step(torch.empty(0, dtype=torch.int64))

    def __call__(self, positions: Tensor) -> _Step:
        if positions is not self._last.positions:
            self._last = _Step(positions)
        return self._last


_step = _Steps()


def _run() -> ctypes.CDLL:
    functions = _kernel()
    assert functions is not None, "only called where there are tiles"
    return functions


def _dispatching(vllms: Callable[[nn.Module, bool], None]) -> Callable[[nn.Module, bool], None]:
    """vLLM's choice of a product for a layer whose weight has been read, behind ours."""

    def dispatch(layer: nn.Module, remove_weight: bool) -> None:
        tiles = TileLinear.of(layer) if remove_weight else None
        if tiles is None:
            vllms(layer, remove_weight)
            return
        layer.cpu_linear = tiles
        layer.weight = nn.Parameter(torch.empty(0, dtype=layer.weight.dtype), requires_grad=False)

    return dispatch


def _forward(vllms: Forward) -> Forward:
    """vLLM's forward of a decoder layer, behind ours."""
    kernels: dict[int, _Kernel | None] = {}

    def forward(layer: nn.Module, positions: Tensor, hidden_states: Tensor, residual: Tensor | None, *more: Any) -> States:
        if id(layer) not in kernels:
            kernels[id(layer)] = _Kernel.of(layer)
        kernel = kernels[id(layer)]
        if kernel is None or more or not hidden_states.is_contiguous():
            return vllms(layer, positions, hidden_states, residual, *more)
        return kernel(positions, hidden_states, residual)

    return forward


def _base(module: nn.Module) -> Any:
    """A linear layer of vLLM's without its LoRA."""
    return getattr(module, "base_layer", module)


def _loras(modules: tuple[Any, ...]) -> tuple[SegmentedLora | None, list[Layer | None]]:
    operators = [getattr(module, "punica_wrapper", None) for module in modules]
    if operators[0] is None:
        return None, [None] * len(modules)
    return operators[0], [
        operator.layer(module.lora_a_stacked, module.lora_b_stacked)
        for operator, module in zip(operators, modules, strict=True)
    ]


def _fits(layer: nn.Module) -> bool:
    attention, mlp = layer.self_attn, layer.mlp
    modules = attention.qkv_proj, attention.o_proj, mlp.gate_up_proj, mlp.down_proj
    norms = layer.input_layernorm, layer.post_attention_layernorm
    rotary = attention.rotary_emb
    return (
        all(isinstance(getattr(_base(module), "cpu_linear", None), TileLinear) for module in modules)
        and all(_base(module).tp_size == 1 and not _base(module).skip_bias_add for module in modules)
        and len({getattr(module, "punica_wrapper", None) for module in modules}) == 1
        and all(type(norm) is RMSNorm and norm.variance_size_override is None for norm in norms)
        and all(norm.weight.dtype == torch.bfloat16 for norm in norms)
        and type(rotary).forward_cpu is RotaryEmbedding.forward_cpu
        and rotary.is_neox_style
        and rotary.rotary_dim == attention.head_dim
        and type(mlp.act_fn) is SiluAndMul
        and not any(getattr(attention, special, False) for special in ("qk_norm", "do_llama_4_scaling"))
        and getattr(layer, "ada_rms_norm_t_cond", None) is None
    )
