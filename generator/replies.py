"""Asks a capable LLM for question-answer pairs in one structured reply, and again where nothing usable came of it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from openai.types.chat import ChatCompletionMessageParam

from generator.json_pairs import PairReader
from generator.llm import Endpoint, ReplyBroken, Sampling, Usage
from generator.matching import normalised
from generator.pairs import PassageFailed, QuestionAnswer
from generator.profiles import prompt_file
from lift.kinds import Kind

MAX_QUESTION_CHARACTERS = 500
MAX_ANSWER_CHARACTERS = 2000
ATTEMPTS = 3


async def structured_pairs(
    endpoint: Endpoint, instructions: str, usage: Usage, *, kind: Kind, most: int, tokens_per_pair: int
) -> AsyncGenerator[QuestionAnswer]:
    """At most `most` pairs out of the reply's stream, no question twice, each the moment it is complete.

    A reply without a single usable pair is asked for again, ATTEMPTS times in all. PassageFailed, RequestFailed,
    EndpointUnavailable.
    """
    asked: set[str] = set()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with aclosing(_reply(endpoint, instructions, usage, most * tokens_per_pair)) as reply:
                async for question, answer in reply:
                    key = " ".join(normalised(question))
                    if key and key not in asked and len(asked) < most:
                        asked.add(key)
                        yield QuestionAnswer(question=question, answer=answer, kind=kind)
        except ReplyBroken:
            if attempt == ATTEMPTS:
                raise
        if asked:
            return
    raise PassageFailed(f"no usable pair in {ATTEMPTS} replies")


async def _reply(
    endpoint: Endpoint, instructions: str, usage: Usage, max_tokens: int
) -> AsyncGenerator[tuple[str, str]]:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": prompt_file("sentence", "reply")},
        {"role": "user", "content": instructions},
    ]
    sampling = Sampling(max_tokens=max_tokens, temperature=0.7, top_p=0.95)
    reader = PairReader()
    async with aclosing(endpoint.chat(messages, sampling, usage)) as pieces:
        async for piece in pieces:
            for question, answer in reader.feed(piece):
                if len(question) <= MAX_QUESTION_CHARACTERS and len(answer) <= MAX_ANSWER_CHARACTERS:
                    yield question, answer
