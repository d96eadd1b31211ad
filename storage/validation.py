"""Says of a folder whether an engine can load it as a LoRA adapter of its base model: nothing else may get near one.

An adapter that fails to load inside a running engine ends the engine for every tenant. So this is done in another
process (`server.engine.preparing`), reads bytes and never runs them (no pickle, no torch), and knows exactly what the
trainer writes: whatever is more, less or other than that is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from storage.files import CONFIG, MANIFEST, SCOPE, WEIGHTS
from storage.plain_lora import check_config
from storage.safetensors import Tensor, read_header, values
from storage.strict import parsed, require
from storage.tensor_names import a_of, b_of

MAX_CONFIG_BYTES = 1 << 16
SCORES = "scores"
"""The tensor of a scope: [1, vocabulary size], fp32."""
_BF16_EXPONENT = 0x7F80  # all ones: infinite, or not a number


def validate(folder: Path, base_config: Mapping[str, Any], max_rank: int) -> None:
    """RevisionRejected(problem=…) where the folder is not an adapter of the base model with at most that rank.

    `base_config` is the base model's config.json, of a model whose layers are named as Llama's are.
    """
    _check_files(folder)
    config = _read_json(folder / CONFIG, MAX_CONFIG_BYTES)
    check_config(config, max_rank)
    expected = _expected_shapes(config["r"], config["target_modules"], base_config)
    _check_tensors(folder / WEIGHTS, expected)
    if (folder / SCOPE).exists():
        tensors = _check_tensors(folder / SCOPE, {SCORES: (1, base_config["vocab_size"])})
        require(tensors[0].dtype == "F32", "the scope's scores are not of the type that they should be")


def _check_tensors(path: Path, expected: Mapping[str, tuple[int, int]]) -> list[Tensor]:
    tensors = read_header(path)
    _check_shapes(tensors, expected)
    for tensor in tensors:
        _check_finite(path, tensor)
    return tensors


def _check_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    require(
        {CONFIG, WEIGHTS} <= names <= {CONFIG, WEIGHTS, SCOPE, MANIFEST},
        "the folder holds other files than an adapter's",
    )
    for name in names:
        path = folder / name
        require(path.is_file() and not path.is_symlink(), "a file is not a plain file", file=name)


# Shapes, from the base model's config. A LoRA module is x·Aᵀ·Bᵀ: A [r, inputs], B [outputs, r].


def _expected_shapes(
    rank: int, target_modules: list[str], base_config: Mapping[str, Any]
) -> dict[str, tuple[int, int]]:
    shapes = _module_shapes(base_config)
    require(len(set(target_modules)) == len(target_modules), "a target module is named twice")
    expected = {}
    for name in target_modules:
        require(name in shapes, "a target module that the base model does not have", module=name[:80])
        block, inputs, outputs = shapes[name]
        for layer in range(base_config["num_hidden_layers"]):
            module = f"model.layers.{layer}.{block}.{name}"
            expected[a_of(module)] = (rank, inputs)
            expected[b_of(module)] = (outputs, rank)
    return expected


def _module_shapes(base_config: Mapping[str, Any]) -> dict[str, tuple[str, int, int]]:
    """Block, inputs and outputs of each linear layer that can have an adapter."""
    hidden, heads = base_config["hidden_size"], base_config["num_attention_heads"]
    head_dim = base_config.get("head_dim") or hidden // heads
    queries = heads * head_dim
    keys = (base_config.get("num_key_value_heads") or heads) * head_dim
    inner = base_config["intermediate_size"]
    return {
        "q_proj": ("self_attn", hidden, queries),
        "k_proj": ("self_attn", hidden, keys),
        "v_proj": ("self_attn", hidden, keys),
        "o_proj": ("self_attn", queries, hidden),
        "gate_proj": ("mlp", hidden, inner),
        "up_proj": ("mlp", hidden, inner),
        "down_proj": ("mlp", inner, hidden),
    }


def _check_shapes(tensors: list[Tensor], expected: Mapping[str, tuple[int, int]]) -> None:
    for tensor in tensors:
        shape = expected.get(tensor.name)
        require(shape is not None, "a tensor that does not belong to an adapter", tensor=tensor.name[:120])
        require(tensor.shape == shape, "a tensor has the wrong shape", tensor=tensor.name)
    missing = next(iter(expected.keys() - {tensor.name for tensor in tensors}), None)
    require(missing is None, "a tensor is missing", tensor=missing or "")


def _check_finite(path: Path, tensor: Tensor) -> None:
    for piece in values(path, tensor):
        if tensor.dtype == "BF16":  # numpy has no such type
            finite = bool(((piece & _BF16_EXPONENT) != _BF16_EXPONENT).all())
        else:
            finite = bool(np.isfinite(piece).all())
        require(finite, "a tensor has values that are not finite", tensor=tensor.name)


def _read_json(path: Path, max_bytes: int) -> dict[str, Any]:
    require(path.stat().st_size <= max_bytes, "a file is too large", file=path.name)
    return parsed(path.read_bytes(), path.name)
