"""Turns a document into pieces of its own text, without any question: what LIFT is compared with, and may add.

Raw-text fine-tuning on overlapping segments is the paper's baseline; together with questions it is its Appendix H.
"""

from collections.abc import AsyncGenerator

from generator.llm import Usage
from generator.pairs import Kind, QuestionAnswer
from generator.sentences import Passage

SEGMENT_SENTENCES = 3


class RawStrategy:
    """A segment for each sentence: the sentence behind those before it, so that segments overlap. No LLM is asked."""

    name = "raw"

    def spans(self, passage: Passage) -> tuple[str, ...]:  # noqa: ARG002 - nothing is asked about
        """None."""
        return ()

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:  # noqa: ARG002
        """One segment, as an answer without a question."""
        segment = " ".join([*passage.preceding[1 - SEGMENT_SENTENCES :], passage.sentence])
        yield QuestionAnswer(question="", answer=segment, kind=Kind.RAW)
