"""Writes adapters of random weights, in the form of a revision: for speed it does not matter what an adapter says."""

import shutil
from pathlib import Path
from typing import Any

import torch

from storage.tensor_names import a_of, b_of
from trainer.base_model import adapted_layers
from trainer.jobs.publish import write_adapter

SMALL = 1e-3  # of B: the base's answers change little, so that no run writes nonsense of another length


def skeleton(folder: Path, dtype: torch.dtype = torch.bfloat16) -> Any:
    """The model of a folder without weights: its layers' names and sizes."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=dtype)


def write_random_adapter(folder: Path, model: Any, rank: int, *, seed: int = 0) -> Path:
    """The folder, with A [rank, in] and B [out, rank] in bf16 for every linear layer of the model but the head."""
    folder.mkdir(parents=True)
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for name, layer in adapted_layers(model):
        inputs, outputs = layer.in_features, layer.out_features
        a, b = torch.randn(rank, inputs, generator=random), torch.randn(outputs, rank, generator=random)
        weights[a_of(name)] = (a / inputs**0.5).bfloat16()
        weights[b_of(name)] = (b * SMALL).bfloat16()
    write_adapter(folder, weights, base_model=model.config.name_or_path, scaling=2.0)
    return folder


def copies(folder: Path, count: int) -> tuple[Path, ...]:
    """The adapter again and again, in folders of their own beside it: an engine takes each for another one.

    No two share memory, as they would where one file had several names: engines answer from the pages of files.
    """
    return tuple(Path(shutil.copytree(folder, folder.with_name(f"{folder.name}-{number}"))) for number in range(count))
