import json

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.random_adapters import copies, write_random_adapter
from storage.files import WEIGHTS
from storage.validation import validate
from trainer.testing import make_tiny_model


def test_a_random_adapter_is_one_that_engines_take_and_its_copies_are_apart(tmp_path):
    base = make_tiny_model(tmp_path / "tiny")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    adapter = write_random_adapter(tmp_path / "adapter", model, 8)
    made = copies(adapter, 3)
    assert len({(folder / WEIGHTS).stat().st_ino for folder in (*made, adapter)}) == 4
    for folder in made:
        validate(folder, json.loads((base / "config.json").read_text()), 8)
