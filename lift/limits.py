"""What more than one role holds others to.

What training options may be: the gateway refuses other values before anything is written, the trainer again.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

MAX_INT32, MAX_INT64 = 2**31 - 1, 2**63 - 1
"""What the contract's fields hold."""

MAX_LOGPROBS = 5
"""So many likeliest tokens of a place can be asked for, as at OpenAI's."""

MAX_GENERATION_BYTES = 256 << 20
"""Of a message between trainer and generator, which holds whole documents or where all their sentences are."""

MAX_ADAPTER_BYTES = 240 << 20
"""Of an adapter's documents in all: with their titles, and what has been written about, they fit such a message."""

MAX_TURNS = 1000
"""So many turns a conversation may have."""

MAX_PAIRS_PER_SENTENCE = 50

MAX_CUSTOM_PROMPT_CHARACTERS = 20_000

GENERATION_PROFILES = ("general", "thorough", "single-fact", "needle")
"""Profiles of question writing."""

Strategy: TypeAlias = Literal[
    "sentence", "grounded", "sentence+sections", "raw", "sentence+raw", "grounded+raw", "sentence+sections+raw"
]
"""How what is to be learned is written."""

STRATEGIES: tuple[str, ...] = get_args(Strategy)

TRAINING_PROFILES = ("paper", "llama3-squad", "llama3-loogle", "llama3-niah", "gemma2", "qwen3", "embedded", "primed")
"""Profiles of hyperparameters."""

RANKS = (8, 16, 32, 64, 128, 256)
"""Ranks that an adapter may have."""

TRAINING_LIMITS: Mapping[str, tuple[float, float]] = {
    "alpha": (1e-3, 1e5),
    "learning_rate": (1e-8, 1.0),
    "epochs": (1, 100),
    "batch_size": (1, 1024),
    "shrink_epsilon": (0, 10),
    "seed": (0, 2**63 - 1),
    "held_out": (0.0, 0.5),
    "retained_share": (0.0, 1.0),
    "distil_share": (0.0, 1.0),
    "abstained_share": (0.0, 1.0),
    "second_round": (0.0, 2.0),
    "least_steps": (0, 100_000),
    "whitening": (0.0, 10_000.0),
    "passes_in_order": (0, 100),
    "word_dropout": (0.0, 0.9),
    "primer": (0.0, 1.0),
    "layerwise_decay": (0.5, 1.0),
    "scope": (0.0, 0.99),
    "min_recall": (0.0, 1.0),
}
"""Smallest and largest value of each numeric option of training."""
