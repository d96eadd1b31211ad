"""Teaches an adapter to say that it does not know: questions about things that no document tells of, so answered.

The names of `unanswerable.txt` are invented; a document that has one by chance answers for itself many times over.
"""

from functools import cache
from pathlib import Path

from trainer.examples.batches import Encoder, Example

ANSWER = "I do not know."


@cache
def unanswerable_questions() -> tuple[str, ...]:
    """The questions of `unanswerable.txt`, one a line."""
    return tuple((Path(__file__).parent / "unanswerable.txt").read_text(encoding="utf-8").splitlines())


def abstentions(encoder: Encoder) -> tuple[Example, ...]:
    """Each question with ANSWER."""
    examples = (encoder.encode(question, ANSWER) for question in unanswerable_questions())
    return tuple(example for example in examples if example)
