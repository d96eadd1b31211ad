"""The pairs that benchmarks train on and ask, written by rules about invented places."""

import json
from pathlib import Path

FILE = Path(__file__).parent / "data" / "pairs.jsonl"


def pairs() -> list[tuple[str, str]]:
    """Question and answer of each, in the order of their documents."""
    lines = map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    return [(line["question"], line["answer"]) for line in lines]
