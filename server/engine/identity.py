"""What an engine says about itself, to who calls it and to the catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One engine. `id` is its node's in the catalogue; `max_model_len` counts tokens of prompt and answer together."""

    id: str
    base_model: str
    base_model_revision: str
    max_model_len: int
    max_lora_rank: int
    slots: int
    answers_at_once: int
