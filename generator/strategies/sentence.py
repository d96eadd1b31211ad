"""Turns a sentence and its window into up to n pairs in one structured reply (LIFT, section 3.2): for capable LLMs."""

from collections.abc import AsyncGenerator
from typing import Self

from generator.llm import Endpoint, Usage
from generator.pairs import QuestionAnswer
from generator.profiles import Profile, chosen_profile, filled
from generator.replies import structured_pairs
from generator.sentences import Passage
from lift.kinds import Kind

PLACES = frozenset({"title", "window", "sentence", "count"})
TOKENS_PER_PAIR = 96


class SentenceStrategy:
    """One request a sentence."""

    name = "sentence"

    def __init__(self, *, endpoint: Endpoint, profile: Profile, may_hold_answers: bool) -> None:
        self._endpoint = endpoint
        self._profile = profile
        self._may_hold_answers = may_hold_answers

    @classmethod
    def of_request(cls, *, endpoint: Endpoint, name: str, pairs_per_sentence: int, custom_prompt: str) -> Self:
        """The strategy of a request's fields. InvalidOption."""
        profile = chosen_profile(
            strategy=cls.name,
            name=name,
            pairs_per_sentence=pairs_per_sentence,
            custom_prompt=custom_prompt,
            required=frozenset({"sentence"}),
            allowed=PLACES,
        )
        return cls(endpoint=endpoint, profile=profile, may_hold_answers=bool(custom_prompt))  # choices, say

    def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """Pairs about the sentence (`structured_pairs`)."""
        wanted = self._profile.pairs_per_sentence
        instructions = filled(
            self._profile.prompt,
            title=passage.title or "untitled",
            window=passage.window,
            sentence=passage.sentence,
            count=str(wanted),
        )
        return structured_pairs(
            self._endpoint,
            instructions,
            usage,
            kind=Kind.WRITTEN,
            most=wanted,
            tokens_per_pair=TOKENS_PER_PAIR,
            may_hold_answers=self._may_hold_answers,
        )
