"""Says whether an adapter_config.json is a plain LoRA's: every name that PEFT writes, with the values it may have."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from lift.errors import RevisionRejected
from storage.strict import require

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


def check_config(config: Mapping[str, Any], max_rank: int) -> None:
    """RevisionRejected: it is not that of a plain LoRA of at most that rank."""
    for name, value in config.items():
        if name in _FREE:
            require(_FREE[name](value), "adapter_config.json has a value that is not allowed", option=name)
        else:
            allowed = any(type(value) is type(plain) and value == plain for plain in _PLAIN.get(name, ()))
            require(allowed, "adapter_config.json asks for more than a plain LoRA", option=name[:80])
    for name in sorted(_NEEDED - config.keys()):
        raise RevisionRejected(problem="adapter_config.json lacks an option", option=name)
    require(config["r"] <= max_rank, "the rank is larger than the engine takes", rank=config["r"], max_rank=max_rank)


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value)
