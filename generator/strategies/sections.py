"""Turns sections into questions about all of each: what came first, how things differ, how many, what is not said.

Sentence by sentence nobody asks such things, and long-dependency questions want them (LIFT, section 5.2). Writing them
takes a capable LLM.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from generator.llm import Endpoint, Usage
from generator.pairs import QuestionAnswer
from generator.profiles import filled, prompt_file
from generator.replies import structured_pairs
from generator.sentences import Passage
from lift.kinds import Kind

PAIRS_PER_SECTION = 10
TOKENS_PER_PAIR = 192  # summaries are longer than facts
LEAST_SENTENCES = 3  # fewer have nothing to put in order or to compare


class SectionStrategy:
    """One request a section, where its last sentence is written about."""

    name = "sections"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """Pairs about the section that the sentence ends (`structured_pairs`)."""
        if len(passage.section) < LEAST_SENTENCES:
            return
        instructions = filled(
            prompt_file("sections", "general"),
            title=passage.title or "untitled",
            section=" ".join(passage.section),
            count=str(PAIRS_PER_SECTION),
        )
        written = structured_pairs(
            self._endpoint,
            instructions,
            usage,
            kind=Kind.SECTION,
            most=PAIRS_PER_SECTION,
            tokens_per_pair=TOKENS_PER_PAIR,
            may_hold_answers=True,  # which of two things came first, say
        )
        async with aclosing(written) as pairs:
            async for pair in pairs:
                yield pair
