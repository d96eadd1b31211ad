"""Says of a folder whether an engine can load it as a LoRA adapter of its base model: nothing else may get near one.

An adapter that fails to load inside a running engine ends the engine for every tenant. So this is done in another
process (`server.engine.preparing`), reads bytes and never runs them (no pickle, no torch), and knows exactly what the
trainer writes: whatever is more, less or other than that is refused.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lift.errors import RevisionRejected
from storage.files import CONFIG, MANIFEST, SCOPE, WEIGHTS
from storage.tensor_names import a_of, b_of

MAX_CONFIG_BYTES = 1 << 16
MAX_HEADER_BYTES = 8 << 20
LENGTH_BYTES = 8  # of a safetensors header, little-endian, in front of it
SCORES = "scores"
"""The tensor of a scope: [1, vocabulary size], fp32."""
_VALUES_AT_ONCE = 1 << 22
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_BF16_EXPONENT = 0x7F80  # all ones: infinite, or not a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One entry of a safetensors header; the offsets count from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def validate(folder: Path, base_config: Mapping[str, Any], max_rank: int) -> None:
    """RevisionRejected(problem=…) where the folder is not an adapter of the base model with at most that rank.

    `base_config` is the base model's config.json, of a model whose layers are named as Llama's are.
    """
    _check_files(folder)
    config = _read_json(folder / CONFIG, MAX_CONFIG_BYTES)
    _check_config(config, max_rank)
    expected = _expected_shapes(config["r"], config["target_modules"], base_config)
    _check_tensors(folder / WEIGHTS, expected)
    if (folder / SCOPE).exists():
        tensors = _check_tensors(folder / SCOPE, {SCORES: (1, base_config["vocab_size"])})
        _require(tensors[0].dtype == "F32", "the scope's scores are not of the type that they should be")


def _check_tensors(path: Path, expected: Mapping[str, tuple[int, int]]) -> list[Tensor]:
    tensors = read_header(path)
    _check_shapes(tensors, expected)
    for tensor in tensors:
        _check_finite(path, tensor)
    return tensors


def _check_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    _require(
        {CONFIG, WEIGHTS} <= names <= {CONFIG, WEIGHTS, SCOPE, MANIFEST},
        "the folder holds other files than an adapter's",
    )
    for name in names:
        path = folder / name
        _require(path.is_file() and not path.is_symlink(), "a file is not a plain file", file=name)


# adapter_config.json: every name that PEFT writes, with the values that leave the adapter a plain LoRA.

_PLAIN: dict[str, tuple[Any, ...]] = {
    "alora_invocation_tokens": (None,),
    "alpha_pattern": ({}, None),
    "arrow_config": (None,),
    "bias": ("none",),
    "corda_config": (None,),
    "ensure_weight_tying": (False,),
    "eva_config": (None,),
    "exclude_modules": (None,),
    "fan_in_fan_out": (False,),
    "init_lora_weights": (True, False, "gaussian"),
    "kasa_config": (None,),
    "layer_replication": (None,),
    "layers_pattern": (None,),
    "layers_to_transform": (None,),
    "loftq_config": ({}, None),
    "lora_bias": (False,),
    "lora_ga_config": (None,),
    "megatron_config": (None,),
    "modules_to_save": (None,),
    "monteclora_config": (None,),
    "peft_type": ("LORA",),
    "rank_pattern": ({}, None),
    "target_parameters": (None,),
    "task_type": ("CAUSAL_LM", None),
    "trainable_token_indices": (None,),
    "use_bdlora": (None, False),
    "use_dora": (False,),
    "use_qalora": (False,),
    "velora_config": (None,),
}
_FREE: dict[str, Callable[[Any], bool]] = {
    "auto_mapping": lambda value: value is None,
    "base_model_name_or_path": lambda value: value is None or isinstance(value, str),
    "inference_mode": lambda value: isinstance(value, bool),
    "lora_alpha": lambda value: _is_number(value) and 0 < value <= 1 << 20,
    "lora_dropout": lambda value: _is_number(value) and 0 <= value < 1,
    "megatron_core": lambda value: value is None or isinstance(value, str),
    "peft_version": lambda value: isinstance(value, str),
    "qalora_group_size": lambda value: type(value) is int,
    "r": lambda value: type(value) is int and value > 0,
    "revision": lambda value: value is None or isinstance(value, str),
    "target_modules": lambda value: (
        isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
    ),
    "use_rslora": lambda value: isinstance(value, bool),
}
_NEEDED = {"peft_type", "r", "lora_alpha", "target_modules"}


def _check_config(config: Mapping[str, Any], max_rank: int) -> None:
    for name, value in config.items():
        if name in _FREE:
            _require(_FREE[name](value), "adapter_config.json has a value that is not allowed", option=name)
        else:
            allowed = any(type(value) is type(plain) and value == plain for plain in _PLAIN.get(name, ()))
            _require(allowed, "adapter_config.json asks for more than a plain LoRA", option=name[:80])
    for name in sorted(_NEEDED - config.keys()):
        raise RevisionRejected(problem="adapter_config.json lacks an option", option=name)
    _require(config["r"] <= max_rank, "the rank is larger than the engine takes", rank=config["r"], max_rank=max_rank)


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value)


# Shapes, from the base model's config. A LoRA module is x·Aᵀ·Bᵀ: A [r, inputs], B [outputs, r].


def _expected_shapes(
    rank: int, target_modules: list[str], base_config: Mapping[str, Any]
) -> dict[str, tuple[int, int]]:
    shapes = _module_shapes(base_config)
    _require(len(set(target_modules)) == len(target_modules), "a target module is named twice")
    expected = {}
    for name in target_modules:
        _require(name in shapes, "a target module that the base model does not have", module=name[:80])
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
        _require(shape is not None, "a tensor that does not belong to an adapter", tensor=tensor.name[:120])
        _require(tensor.shape == shape, "a tensor has the wrong shape", tensor=tensor.name)
    missing = next(iter(expected.keys() - {tensor.name for tensor in tensors}), None)
    _require(missing is None, "a tensor is missing", tensor=missing or "")


# safetensors: eight bytes of header length, the header as JSON, the tensors' bytes one after another without a gap.


def read_header(path: Path) -> list[Tensor]:
    """The tensors of a file, in the order of their bytes; offsets count from the file's start. RevisionRejected."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        fits = size >= LENGTH_BYTES and 2 <= length <= min(MAX_HEADER_BYTES, size - LENGTH_BYTES)
        _require(fits, "the weights' header has an impossible length")
        content = file.read(length)
    _require(content.startswith(b"{"), "the weights' header is malformed")
    header = _parsed(content, path.name)
    _check_metadata(header.pop("__metadata__", {}))
    data_start = LENGTH_BYTES + length
    tensors = [_tensor(name, entry) for name, entry in header.items()]
    tensors.sort(key=lambda tensor: tensor.start)
    position = 0
    for tensor in tensors:
        _require(tensor.start == position, "tensors overlap, or leave a gap", tensor=tensor.name[:120])
        position = tensor.end
    _require(data_start + position == size, "the weights are not as long as their header says")
    return [_moved(tensor, data_start) for tensor in tensors]


def _check_metadata(metadata: Any) -> None:
    plain = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    _require(plain, "the weights' metadata are not text")


def _tensor(name: str, entry: Any) -> Tensor:
    well_formed = isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
    _require(well_formed, "the weights' header is malformed", tensor=name[:120])
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    _require(
        isinstance(dtype, str) and dtype in _ITEM_BYTES, "a tensor has a type that is not allowed", tensor=name[:120]
    )
    for numbers in (shape, offsets):
        sound = (
            isinstance(numbers, list)
            and len(numbers) == 2
            and all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
        )
        _require(sound, "the weights' header is malformed", tensor=name[:120])
    start, end = offsets
    _require(end - start == shape[0] * shape[1] * _ITEM_BYTES[dtype], "a tensor's size is not that of its shape")
    return Tensor(name=name, dtype=dtype, shape=tuple(shape), start=start, end=end)


def _moved(tensor: Tensor, by: int) -> Tensor:
    start, end = tensor.start + by, tensor.end + by
    return Tensor(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, start=start, end=end)


def _check_finite(path: Path, tensor: Tensor) -> None:
    for values in _values(path, tensor):
        if tensor.dtype == "BF16":  # numpy has no such type
            finite = bool(((values & _BF16_EXPONENT) != _BF16_EXPONENT).all())
        else:
            finite = bool(np.isfinite(values).all())
        _require(finite, "a tensor has values that are not finite", tensor=tensor.name)


def _values(path: Path, tensor: Tensor) -> Iterator[np.ndarray[Any, Any]]:
    kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[tensor.dtype]
    left = math.prod(tensor.shape)
    with path.open("rb") as file:
        file.seek(tensor.start)
        while left:
            values = np.fromfile(file, dtype=kind, count=min(left, _VALUES_AT_ONCE))
            _require(values.size > 0, "the weights became shorter while they were read")
            left -= values.size
            yield values


def _read_json(path: Path, max_bytes: int) -> dict[str, Any]:
    _require(path.stat().st_size <= max_bytes, "a file is too large", file=path.name)
    return _parsed(path.read_bytes(), path.name)


def _parsed(content: bytes, file: str) -> dict[str, Any]:
    try:
        parsed = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once, parse_int=_integer)
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")  # an escaped half of a character is none
    except (ValueError, RecursionError) as error:
        raise RevisionRejected(problem="not JSON of UTF-8, or a name is there twice", file=file) from error
    _require(isinstance(parsed, dict), "not a JSON object", file=file)
    return dict(parsed)


def _integer(digits: str) -> int | float:
    """As safetensors reads it, for which -0 is none."""
    return -0.0 if digits == "-0" else int(digits)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _require(true: bool, problem: str, **facts: str | int | float) -> None:
    if not true:
        raise RevisionRejected(problem=problem, **facts)
