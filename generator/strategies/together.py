"""Turns a sentence into the pairs of several strategies, one after another."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from generator.llm import Usage
from generator.pairs import QuestionAnswer, Strategy
from generator.sentences import Passage


class Together:
    """Several strategies under one name."""

    def __init__(self, name: str, strategies: Sequence[Strategy]) -> None:
        self.name = name
        self._strategies = strategies

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """The pairs of the first strategy, then those of the next."""
        for strategy in self._strategies:
            async with aclosing(strategy.write(passage, usage)) as pairs:
                async for pair in pairs:
                    yield pair
