"""Turns a document into pieces of its own text, without any question: what LIFT is compared with, and may add.

Raw-text fine-tuning on overlapping segments is the paper's baseline; together with questions it is its Appendix H.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from generator.llm import Usage
from generator.pairs import Kind, QuestionAnswer, Strategy
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


class WithRaw:
    """Another strategy's pairs, and the segments beside them."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._raw = RawStrategy()
        self.name = f"{strategy.name}+{RawStrategy.name}"

    def spans(self, passage: Passage) -> tuple[str, ...]:
        """Those of the other strategy."""
        return self._strategy.spans(passage)

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """The segment, which costs nothing, then the pairs."""
        for strategy in (self._raw, self._strategy):
            async with aclosing(strategy.write(passage, usage)) as pairs:
                async for pair in pairs:
                    yield pair
