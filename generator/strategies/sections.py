"""Adds questions about whole sections: what happened in which order, how things differ, how many, what is not said.

Sentence by sentence nobody asks such things, and long-dependency questions want them (LIFT, section 5.2). Writing them
takes a capable LLM.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from generator.llm import Endpoint, Usage
from generator.pairs import Kind, QuestionAnswer, Strategy
from generator.profiles import filled, prompt_file
from generator.replies import structured_pairs
from generator.sentences import Passage

PAIRS_PER_SECTION = 10
TOKENS_PER_PAIR = 192  # summaries are longer than facts
LEAST_SENTENCES = 3  # fewer have nothing to put in order or to compare


class WithSections:
    """Another strategy's pairs, and behind those of a section's last sentence the section's own."""

    def __init__(self, strategy: Strategy, endpoint: Endpoint) -> None:
        self._strategy = strategy
        self._endpoint = endpoint
        self.name = f"{strategy.name}+sections"

    def spans(self, passage: Passage) -> tuple[str, ...]:
        """Those of the other strategy."""
        return self._strategy.spans(passage)

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """The pairs of the sentence, then one reply about the section that it ends."""
        async with aclosing(self._strategy.write(passage, usage)) as pairs:
            async for pair in pairs:
                yield pair
        if len(passage.section) < LEAST_SENTENCES:
            return
        async with aclosing(self._of_section(passage, usage)) as pairs:
            async for pair in pairs:
                yield pair

    def _of_section(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        instructions = filled(
            prompt_file("sections", "general"),
            title=passage.title or "untitled",
            section=" ".join(passage.section),
            count=str(PAIRS_PER_SECTION),
        )
        return structured_pairs(
            self._endpoint,
            instructions,
            usage,
            kind=Kind.SECTION,
            most=PAIRS_PER_SECTION,
            tokens_per_pair=TOKENS_PER_PAIR,
        )
