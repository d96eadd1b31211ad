"""Asks a capable LLM for question-answer pairs in one structured reply, and again where nothing usable came of it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from openai.types.chat import ChatCompletionMessageParam

from generator import metrics
from generator.json_pairs import PairReader
from generator.llm import Endpoint, ReplyBroken, Sampling, Usage
from generator.matching import leans_on_pronoun, near_duplicate, normalised, says_nothing_new
from generator.pairs import PassageFailed, QuestionAnswer
from generator.profiles import prompt_file
from lift.kinds import Kind

MAX_QUESTION_CHARACTERS = 500
MAX_ANSWER_CHARACTERS = 2000
ATTEMPTS = 3


async def structured_pairs(
    endpoint: Endpoint,
    instructions: str,
    usage: Usage,
    *,
    kind: Kind,
    most: int,
    tokens_per_pair: int,
    may_hold_answers: bool,
) -> AsyncGenerator[QuestionAnswer]:
    """At most `most` pairs out of the reply's stream, each the moment it is complete.

    A question that nearly is one of those before, or leans on a pronoun, is left out, and so is one that holds its
    answer, unless `may_hold_answers`. A reply without a single usable pair is asked for again, ATTEMPTS times in all;
    one that was cut off, or most of which was left out, once more. PassageFailed, RequestFailed, EndpointUnavailable.
    """
    asked: list[str] = []
    for attempt in range(1, ATTEMPTS + 1):
        before, left_out, broken = len(asked), 0, False
        try:
            async with aclosing(_reply(endpoint, instructions, usage, most * tokens_per_pair)) as reply:
                async for question, answer in reply:
                    if len(asked) == most:
                        continue  # what the reply cost comes behind it
                    asks = may_hold_answers or not says_nothing_new(question, answer)
                    if asks and _can_be_asked(question, asked):
                        asked.append(question)
                        yield QuestionAnswer(question=question, answer=answer, kind=kind)
                    else:
                        left_out += 1
                        metrics.REFUSED.labels("unfit").inc()
        except ReplyBroken:
            broken = True
            if attempt == ATTEMPTS and not asked:
                raise
        if before or (asked and not broken and left_out <= len(asked)) or len(asked) == most:
            return
    if not asked:
        raise PassageFailed(f"no usable pair in {ATTEMPTS} replies")


def _can_be_asked(question: str, asked: list[str]) -> bool:
    """Whether a question makes sense to somebody who sees nothing else, and is none of those before."""
    return bool(normalised(question)) and not leans_on_pronoun(question) and not near_duplicate(question, asked)


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
