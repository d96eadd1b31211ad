"""Models with random weights in the shapes of well-known ones: speed and memory do not depend on what weights say."""

from typing import Any

import torch

from lift.errors import InvalidOption
from trainer.base_model import attention_on

# As published in the config.json of meta-llama/Meta-Llama-3-8B and of HuggingFaceTB/SmolLM2-135M.
SHAPES: dict[str, dict[str, Any]] = {
    "llama-3-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
        "max_position_embeddings": 8192,
    },
    "smollm2-135m": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "tie_word_embeddings": True,
        "max_position_embeddings": 8192,
    },
}


def random_model(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A transformers model of that shape, its weights the same each time. InvalidOption: there is no such shape."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    if shape not in SHAPES:
        raise InvalidOption(option="shape", value=shape[:80], expected=", ".join(SHAPES))
    config = LlamaConfig(**SHAPES[shape])
    torch.manual_seed(0)
    with device:
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention_on(device.type))
