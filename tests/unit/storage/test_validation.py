"""What gets near an engine, and what does not: one bad adapter would end the engine for every tenant."""

import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lift.errors import RevisionRejected
from storage.files import CONFIG, MANIFEST, SCOPE, WEIGHTS
from storage.validation import SCORES, validate

BASE = {
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
}
SHAPES = {  # inputs, outputs
    "self_attn.q_proj": (12, 12),
    "self_attn.k_proj": (12, 4),
    "self_attn.v_proj": (12, 4),
    "self_attn.o_proj": (12, 12),
    "mlp.gate_proj": (12, 20),
    "mlp.up_proj": (12, 20),
    "mlp.down_proj": (20, 12),
}
RANK = 4
MAX_RANK = 8
A_TENSOR = "base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight"

Header = dict[str, Any]


def tensors(kind: str = "<f4") -> dict[str, np.ndarray[Any, Any]]:
    made = {}
    for layer in range(BASE["num_hidden_layers"]):
        for module, (inputs, outputs) in SHAPES.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            made[f"{name}.lora_A.weight"] = np.full((RANK, inputs), 0.5, dtype=kind)
            made[f"{name}.lora_B.weight"] = np.full((outputs, RANK), 0.5, dtype=kind)
    return made


def header_and_data(arrays: dict[str, np.ndarray[Any, Any]], dtype: str) -> tuple[Header, bytes]:
    header: Header = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in arrays.items():
        content = array.tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    return header, data


def write_weights(folder: Path, header: Header | bytes, data: bytes) -> None:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)


def config() -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
        "r": RANK,
        "lora_alpha": 8,
        "lora_dropout": 0.05,
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
        "target_modules": [module.split(".")[1] for module in SHAPES],
        "use_dora": False,
        "use_rslora": False,
        "modules_to_save": None,
        "rank_pattern": {},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound adapter."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(config()))
    (folder / MANIFEST).write_text("{}")
    write_weights(folder, *header_and_data(tensors(), "F32"))
    return folder


def rejected(folder: Path, problem: str, base: dict[str, int] = BASE) -> RevisionRejected:
    with pytest.raises(RevisionRejected, match=problem) as caught:
        validate(folder, base, MAX_RANK)
    return caught.value


@pytest.mark.parametrize(("dtype", "kind"), [("F32", "<f4"), ("F16", "<f2"), ("BF16", "<u2")])
def test_a_sound_adapter_passes(folder: Path, dtype: str, kind: str) -> None:
    arrays = {name: np.full(array.shape, 0x3F80, "<u2") for name, array in tensors().items()}
    write_weights(folder, *header_and_data(arrays if dtype == "BF16" else tensors(kind), dtype))
    validate(folder, BASE, MAX_RANK)


def test_a_sound_adapter_of_some_modules_passes(folder: Path) -> None:
    (folder / CONFIG).write_text(json.dumps({**config(), "target_modules": ["v_proj", "q_proj"]}))
    some = {name: array for name, array in tensors().items() if "q_proj" in name or "v_proj" in name}
    write_weights(folder, *header_and_data(some, "F32"))
    validate(folder, BASE, MAX_RANK)


def test_a_base_model_that_leaves_its_defaults_out_is_understood(folder: Path) -> None:
    base = {name: value for name, value in BASE.items() if name not in {"head_dim", "num_key_value_heads"}}
    full = {
        name: np.zeros(
            (12, RANK) if ("k_proj" in name or "v_proj" in name) and "lora_B" in name else array.shape, "<f4"
        )
        for name, array in tensors().items()
    }
    write_weights(folder, *header_and_data(full, "F32"))
    validate(folder, base, MAX_RANK)


@pytest.mark.parametrize(
    "change",
    [
        {"use_dora": True},
        {"lora_bias": True},
        {"bias": "all"},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": []},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "loftq"},
        {"init_lora_weights": "corda"},
        {"use_qalora": True},
        {"use_bdlora": {"blocks": 2}},
        {"layer_replication": [[0, 2]]},
        {"layers_to_transform": [0]},
        {"rank_pattern": {"q_proj": 64}},
        {"alpha_pattern": {"q_proj": 64}},
        {"alora_invocation_tokens": [1]},
        {"trainable_token_indices": [1]},
        {"target_parameters": ["x"]},
        {"fan_in_fan_out": True},
        {"fan_in_fan_out": 0},
        {"peft_type": "IA3"},
        {"task_type": "SEQ_CLS"},
        {"vllm_lora_scaling_factor": 1e9},
        {"auto_mapping": {"parent_library": "os"}},
        {"anything": None},
    ],
)
def test_what_is_more_than_a_plain_lora_is_refused(folder: Path, change: dict[str, Any]) -> None:
    (folder / CONFIG).write_text(json.dumps({**config(), **change}))
    assert rejected(folder, "adapter_config.json").facts["option"] == next(iter(change))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"r": 0}, "not allowed"),
        ({"r": -4}, "not allowed"),
        ({"r": True}, "not allowed"),
        ({"r": 4.0}, "not allowed"),
        ({"r": "4"}, "not allowed"),
        ({"r": 16}, "larger than the engine takes"),
        ({"r": 8}, "wrong shape"),
        ({"r": 10**4000}, "larger than the engine takes|not JSON"),
        ({"lora_alpha": 0}, "not allowed"),
        ({"lora_alpha": float("nan")}, "not allowed"),
        ({"lora_alpha": float("inf")}, "not allowed"),
        ({"lora_alpha": 1e30}, "not allowed"),
        ({"lora_dropout": 1.5}, "not allowed"),
        ({"target_modules": []}, "not allowed"),
        ({"target_modules": "all-linear"}, "not allowed"),
        ({"target_modules": [1]}, "not allowed"),
        ({"target_modules": ["q_proj", "q_proj"]}, "named twice"),
        ({"target_modules": ["embed_tokens"]}, "does not have"),
        ({"target_modules": ["lm_head"]}, "does not have"),
        ({"target_modules": ["q_proj"]}, "does not belong"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder: Path, change: dict[str, Any], problem: str) -> None:
    def digits(value: Any) -> str:
        return "1" + "0" * 4000 if value == 10**4000 else json.dumps(value)

    changed = {**config(), **change}
    text = "{" + ",".join(f"{json.dumps(name)}:{digits(value)}" for name, value in changed.items()) + "}"
    (folder / CONFIG).write_text(text)
    rejected(folder, problem)


@pytest.mark.parametrize("name", ["peft_type", "r", "lora_alpha", "target_modules"])
def test_a_config_without_what_it_needs_is_refused(folder: Path, name: str) -> None:
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in config().items() if key != name}))
    assert rejected(folder, "lacks").facts["option"] == name


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"r": 4, "r": 8}', b"[" * 60_000, b'{"a":' * 10_000, b" " * (1 << 17)],
)
def test_a_config_that_is_no_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)
    rejected(folder, "JSON|too large")


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt", "new_embeddings.safetensors", "x.py", "sub"])
def test_any_other_file_is_refused(folder: Path, name: str) -> None:
    if name == "sub":
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(pickle.dumps({}))
    rejected(folder, "other files")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    rejected(folder, "other files")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_what_is_no_plain_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    rejected(folder, "plain file")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    rejected(folder, "plain file")


# Each takes a sound header and its data, and makes them unsound.
def _set(header: Header, **changes: Any) -> None:
    header[A_TENSOR] = {**header[A_TENSOR], **changes}


UNSOUND: dict[str, tuple[str, Callable[[Header], object]]] = {
    "a tensor is missing": ("gap|missing", lambda h: h.pop(A_TENSOR)),
    "a tensor too many": (
        "gap|belong|size",
        lambda h: h.update({"x": {"dtype": "F32", "shape": [0, 0], "data_offsets": [0, 0]}}),
    ),
    "another layer": ("belong", lambda h: h.update({A_TENSOR.replace(".1.", ".2."): h.pop(A_TENSOR)})),
    "a layer's number in other digits": (
        "belong",
        lambda h: h.update({A_TENSOR.replace(".1.", ".01."): h.pop(A_TENSOR)}),
    ),
    "another block": ("belong", lambda h: h.update({A_TENSOR.replace("self_attn", "mlp"): h.pop(A_TENSOR)})),
    "embeddings": ("belong", lambda h: h.update({"base_model.model.lm_head.weight": h.pop(A_TENSOR)})),
    "a DoRA vector": (
        "belong",
        lambda h: h.update({A_TENSOR.replace("lora_B.weight", "lora_magnitude_vector"): h.pop(A_TENSOR)}),
    ),
    "a transposed tensor": ("wrong shape", lambda h: _set(h, shape=h[A_TENSOR]["shape"][::-1]) or _square(h)),
    "a flat tensor": ("malformed", lambda h: _set(h, shape=[16])),
    "three dimensions": ("malformed", lambda h: _set(h, shape=[4, 4, 1])),
    "a negative dimension": ("malformed", lambda h: _set(h, shape=[-4, -4])),
    "a dimension that is no number": ("malformed", lambda h: _set(h, shape=["4", 4])),
    "a dimension that is true": ("malformed", lambda h: _set(h, shape=[True, 16])),
    "a huge dimension": ("malformed", lambda h: _set(h, shape=[1 << 62, 4])),
    "dimensions that overflow": ("size", lambda h: _set(h, shape=[1 << 40, 1 << 40])),
    "another type's size": ("size", lambda h: _set(h, dtype="BF16")),
    "integers": ("type", lambda h: _set(h, dtype="I32")),
    "doubles": ("type", lambda h: _set(h, dtype="F64")),
    "a type that is a list": ("type", lambda h: _set(h, dtype=["F32"])),
    "an offset before the data": ("malformed", lambda h: _set(h, data_offsets=[-64, 0])),
    "an offset behind the data": ("overlap|gap|long", lambda h: _set(h, data_offsets=[1 << 30, (1 << 30) + 64])),
    "offsets the wrong way round": ("size", lambda h: _set(h, data_offsets=h[A_TENSOR]["data_offsets"][::-1])),
    "overlapping tensors": ("overlap", lambda h: _set(h, data_offsets=[0, 64])),
    "offsets as numbers with a point": ("malformed", lambda h: _set(h, data_offsets=[0.0, 64.0])),
    "one offset": ("malformed", lambda h: _set(h, data_offsets=[0])),
    "an entry with more in it": ("malformed", lambda h: _set(h, strides=[1, 1])),
    "an entry that is no object": ("malformed", lambda h: h.update({A_TENSOR: [1, 2]})),
    "metadata that are no text": ("metadata", lambda h: h.update({"__metadata__": {"a": 1}})),
    "metadata that are a list": ("metadata", lambda h: h.update({"__metadata__": []})),
    "metadata with half a character": ("UTF-8", lambda h: h.update({"__metadata__": {"format": "\ud800"}})),
    "metadata of half a character": ("UTF-8", lambda h: h.update({"__metadata__": {"\udc00": "pt"}})),
    "a name with half a character": ("UTF-8", lambda h: h.update({f"{A_TENSOR}\ud800": h.pop(A_TENSOR)})),
    "no tensors": ("long", lambda h: h.clear()),
}


def _square(header: Header) -> None:
    """K's B is square here, so a transposition shows only in another tensor."""
    name = A_TENSOR.replace("k_proj", "q_proj")
    header[name] = {**header[name], "shape": header[name]["shape"][::-1]}


@pytest.mark.parametrize("case", UNSOUND)
def test_a_header_that_lies_is_refused(folder: Path, case: str) -> None:
    problem, spoil = UNSOUND[case]
    header, data = header_and_data(tensors(), "F32")
    spoil(header)
    write_weights(folder, header, data)
    rejected(folder, problem)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "impossible length"),
        (b"\0" * 7, "impossible length"),
        (b"\0" * 8, "impossible length"),
        (b"\xff" * 8, "impossible length"),
        (struct.pack("<Q", 1 << 40) + b"{}", "impossible length"),
        (struct.pack("<Q", 3) + b"{}", "impossible length"),
        (struct.pack("<Q", 9 << 20) + bytes(10 << 20), "impossible length"),
        (struct.pack("<Q", 2) + b"{}", "missing"),
        (struct.pack("<Q", 2) + b"{}x", "not as long"),
        (struct.pack("<Q", 3) + b" {}", "malformed"),
        (struct.pack("<Q", 2) + b"[]", "malformed"),
        (struct.pack("<Q", 2) + b"\xff\xff", "malformed"),
        (struct.pack("<Q", 100_000) + b'{"a":' * 20_000, "not JSON"),
        (pickle.dumps({"weights": [1.0]}), "impossible length"),
    ],
)
def test_weights_that_are_no_safetensors_are_refused(folder: Path, content: bytes, problem: str) -> None:
    (folder / WEIGHTS).write_bytes(content)
    rejected(folder, problem)


def test_a_tensor_that_is_there_twice_is_refused(folder: Path) -> None:
    header, data = header_and_data(tensors(), "F32")
    text = json.dumps(header)
    again = f',"{A_TENSOR}":{json.dumps(header[A_TENSOR])}}}'
    write_weights(folder, (text[:-1] + again).encode(), data)
    rejected(folder, "twice")


def test_an_offset_of_minus_zero_is_refused_as_safetensors_does(folder: Path) -> None:
    header, data = header_and_data(tensors(), "F32")
    write_weights(folder, json.dumps(header).replace("[0, ", "[-0, ", 1).encode(), data)
    with pytest.raises(SafetensorError, match="expected usize"):
        load_file(folder / WEIGHTS)
    rejected(folder, "malformed")


@pytest.mark.parametrize("cut", [1, 1000])
def test_weights_that_are_cut_off_or_go_on_are_refused(folder: Path, cut: int) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:-cut])
    rejected(folder, "not as long")
    (folder / WEIGHTS).write_bytes(content + b"x" * cut)
    rejected(folder, "not as long")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("dtype", "kind"), [("F32", "<f4"), ("F16", "<f2")])
def test_a_value_that_is_not_finite_is_refused(folder: Path, dtype: str, kind: str, value: float) -> None:
    arrays = tensors(kind)
    arrays[A_TENSOR][-1, -1] = value
    write_weights(folder, *header_and_data(arrays, dtype))
    assert rejected(folder, "finite").facts["tensor"] == A_TENSOR


@pytest.mark.parametrize("bits", [0x7F80, 0xFF80, 0x7FC0, 0x7F81])
def test_a_brain_float_that_is_not_finite_is_refused(folder: Path, bits: int) -> None:
    arrays = {name: np.zeros(array.shape, "<u2") for name, array in tensors().items()}
    arrays[A_TENSOR][0, 0] = bits
    write_weights(folder, *header_and_data(arrays, "BF16"))
    rejected(folder, "finite")


@pytest.mark.parametrize("change", ["hidden_size", "intermediate_size", "head_dim", "num_key_value_heads"])
def test_an_adapter_of_a_base_model_of_another_shape_is_refused(folder: Path, change: str) -> None:
    rejected(folder, "wrong shape", {**BASE, change: BASE[change] * 2})


@pytest.mark.parametrize(("layers", "problem"), [(1, "belong"), (3, "missing")])
def test_an_adapter_of_a_base_model_of_another_depth_is_refused(folder: Path, layers: int, problem: str) -> None:
    rejected(folder, problem, {**BASE, "num_hidden_layers": layers})


VOCABULARY = 6
MODEL = {**BASE, "vocab_size": VOCABULARY}


def scores(*values: float, dtype: str = "<f4") -> np.ndarray[Any, Any]:
    return np.array([values], dtype=dtype)


def test_an_adapter_may_say_what_it_is_about(folder: Path) -> None:
    validate(folder, MODEL, MAX_RANK)
    save_file({SCORES: scores(3, -1, -1, 0, 0, -9)}, folder / SCOPE)
    validate(folder, MODEL, MAX_RANK)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({}, "a tensor is missing"),
        ({"weights": scores(*[0] * VOCABULARY)}, "does not belong"),
        ({SCORES: scores(*[0] * VOCABULARY), "more": scores(1)}, "does not belong"),
        ({SCORES: scores(*[0] * (VOCABULARY - 1))}, "wrong shape"),
        ({SCORES: scores(*[0] * VOCABULARY).T.copy()}, "wrong shape"),
        ({SCORES: scores(*[0] * VOCABULARY, dtype="<f2")}, "not of the type"),
        ({SCORES: scores(*[0] * (VOCABULARY - 1), np.nan)}, "not finite"),
        ({SCORES: scores(*[0] * (VOCABULARY - 1), np.inf)}, "not finite"),
    ],
)
def test_a_scope_that_is_none_is_refused(folder: Path, found: dict[str, np.ndarray[Any, Any]], problem: str) -> None:
    save_file(found, folder / SCOPE)
    rejected(folder, problem, MODEL)


def test_a_scope_whose_bytes_are_no_tensors_is_refused(folder: Path) -> None:
    (folder / SCOPE).write_bytes(b"\x80\x04N.")
    rejected(folder, "impossible length", MODEL)


def test_it_needs_neither_torch_nor_a_model_library(folder: Path) -> None:
    code = (
        "import sys, storage.validation; print({'torch', 'transformers', 'safetensors', 'peft'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
