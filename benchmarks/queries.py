"""Asks a gateway many questions at once, good and bad, and notes how long each took."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle

from lift.client import AsyncClient
from lift.client.queries import Asking
from lift.errors import LiftError

MAX_TOKENS = 24
LONG_QUESTION = "why " * 7000
"""More tokens than a window of 4096 holds, and fewer characters than the gateway refuses by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question. `bad`: the gateway must refuse it."""

    adapter: str | None
    question: str
    asking: Asking = field(default_factory=lambda: Asking(max_tokens=MAX_TOKENS))
    bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a query, in seconds since it was sent. `error` is the reason of a refusal, empty for an answer.

    `out_of_scope`: the base model answered in the adapter's place.
    """

    query: Query
    seconds: float
    first_token_seconds: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    out_of_scope: bool = False
    error: str = ""

    @property
    def expected(self) -> bool:
        """Whether a good query was answered, or a bad one refused."""
        return bool(self.error) is self.query.bad


def good(adapters: Sequence[str | None], questions: Sequence[str], number: int) -> list[Query]:
    """That many queries, adapters and questions in turn."""
    pairs = zip(cycle(adapters), cycle(questions), range(number), strict=False)
    return [Query(adapter=adapter, question=question) for adapter, question, _ in pairs]


def bad(adapters: Sequence[str | None]) -> Iterator[Query]:
    """Queries that must be refused, without end: unknown adapters, questions that don't fit, options that cannot be."""
    for number, adapter in zip(count(), cycle(adapters), strict=False):
        yield Query(adapter=f"no-adapter-{number}", question="Who?", bad=True)
        yield Query(adapter=adapter, question="", bad=True)
        yield Query(adapter=adapter, question=LONG_QUESTION, bad=True)
        yield Query(adapter=adapter, question=2 * LONG_QUESTION, bad=True)
        yield Query(adapter=adapter, question="Who?", asking=Asking(temperature=-1.0), bad=True)
        yield Query(adapter="Not An Id", question="Who?", bad=True)


async def ask_all(client: AsyncClient, queries: Iterable[Query], at_once: int) -> tuple[list[Outcome], float]:
    """The outcomes, `at_once` queries under way at any time, and the seconds that all of them took.

    A query is made as it is asked, so what an iterator takes for making one counts.
    """
    waiting, outcomes = iter(queries), list[Outcome]()

    async def work() -> None:
        for query in waiting:
            outcomes.append(await _ask(client, query))

    began_at = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
    return outcomes, time.perf_counter() - began_at


@asynccontextmanager
async def asking(client: AsyncClient, queries: Iterator[Query], at_once: int) -> AsyncIterator[list[Outcome]]:
    """Asks for as long as the block lasts, `at_once` queries under way at any time: the outcomes so far."""
    outcomes = list[Outcome]()

    async def work() -> None:
        for query in queries:
            outcomes.append(await _ask(client, query))

    workers = [asyncio.create_task(work()) for _ in range(at_once)]
    try:
        yield outcomes
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _ask(client: AsyncClient, query: Query) -> Outcome:
    began_at = time.perf_counter()
    first = 0.0
    try:
        stream = client.stream(query.adapter, query.question, **query.asking)
        async for _ in stream:
            first = first or time.perf_counter() - began_at
        answer = await stream.answer()
    except LiftError as error:
        return Outcome(query=query, seconds=time.perf_counter() - began_at, error=error.reason())
    seconds = time.perf_counter() - began_at
    return Outcome(
        query=query,
        seconds=seconds,
        first_token_seconds=first or seconds,
        tokens=answer.usage.completion_tokens,
        prompt_tokens=answer.usage.prompt_tokens,
        out_of_scope=answer.out_of_scope,
    )
