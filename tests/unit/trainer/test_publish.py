"""What a published adapter's file looks like."""

import json

import torch
from safetensors.torch import load_file

from storage.files import CONFIG, WEIGHTS
from trainer.jobs.publish import ALIGNMENT, write_adapter


def test_weights_begin_at_a_cache_line_and_are_read_as_they_were_written(tmp_path):
    for extra in range(1, 40):  # header lengths of all kinds
        name = f"base_model.model.{'x' * extra}"
        weights = {
            f"{name}.lora_A.weight": torch.full((4, 32), 1.5).bfloat16(),
            f"{name}.lora_B.weight": torch.full((32, 4), float(extra)).bfloat16(),
        }
        folder = tmp_path / str(extra)
        folder.mkdir()
        write_adapter(folder, weights, base_model="tiny", scaling=2.0)
        read = load_file(folder / WEIGHTS)
        assert all(torch.equal(read[each], weight) for each, weight in weights.items())
        content = (folder / WEIGHTS).read_bytes()
        assert (8 + int.from_bytes(content[:8], "little")) % ALIGNMENT == 0
        assert json.loads((folder / CONFIG).read_text())["lora_alpha"] == 8
