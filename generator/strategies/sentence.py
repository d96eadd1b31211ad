"""Turns a sentence and its window into up to n pairs in one structured reply (LIFT, section 3.2): for capable LLMs."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self

from openai.types.chat import ChatCompletionMessageParam

from generator.json_pairs import PairReader
from generator.llm import Endpoint, ReplyBroken, Sampling, Usage
from generator.matching import normalised
from generator.pairs import Kind, PassageFailed, QuestionAnswer
from generator.profiles import Profile, chosen_profile, filled, prompt_file
from generator.sentences import Passage

PLACES = frozenset({"title", "window", "sentence", "count"})
TOKENS_PER_PAIR = 96
MAX_QUESTION_CHARACTERS = 500
MAX_ANSWER_CHARACTERS = 2000
ATTEMPTS = 3


class SentenceStrategy:
    """One request a sentence; a reply without a single usable pair is asked for again, ATTEMPTS times in all."""

    name = "sentence"

    def __init__(self, *, endpoint: Endpoint, profile: Profile) -> None:
        self._endpoint = endpoint
        self._profile = profile
        self._reply_format = prompt_file("sentence", "reply")

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
        return cls(endpoint=endpoint, profile=profile)

    def spans(self, passage: Passage) -> tuple[str, ...]:  # noqa: ARG002 - the LLM itself chooses what to ask about
        """None."""
        return ()

    async def write(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        """Pairs out of the reply's stream, each once and the moment it is complete."""
        asked: set[str] = set()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with aclosing(self._reply(passage, usage)) as reply:
                    async for pair in reply:
                        key = " ".join(normalised(pair.question))
                        if key and key not in asked and len(asked) < self._profile.pairs_per_sentence:
                            asked.add(key)
                            yield pair
            except ReplyBroken:
                if attempt == ATTEMPTS:
                    raise
            if asked:
                return
        raise PassageFailed(f"no usable pair in {ATTEMPTS} replies")

    async def _reply(self, passage: Passage, usage: Usage) -> AsyncGenerator[QuestionAnswer]:
        wanted = self._profile.pairs_per_sentence
        instructions = filled(
            self._profile.prompt,
            title=passage.title or "untitled",
            window=passage.window,
            sentence=passage.sentence,
            count=str(wanted),
        )
        sampling = Sampling(max_tokens=TOKENS_PER_PAIR * wanted, temperature=0.7, top_p=0.95)
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": self._reply_format},
            {"role": "user", "content": instructions},
        ]
        reader = PairReader()
        async with aclosing(self._endpoint.chat(messages, sampling, usage)) as pieces:
            async for piece in pieces:
                for question, answer in reader.feed(piece):
                    if len(question) <= MAX_QUESTION_CHARACTERS and len(answer) <= MAX_ANSWER_CHARACTERS:
                        yield QuestionAnswer(question=question, answer=answer, kind=Kind.WRITTEN)
