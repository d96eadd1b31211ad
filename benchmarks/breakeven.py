"""`lift bench breakeven`: after how many questions an adapter has cost less than long context or retrieval.

An adapter costs its training once and a short prompt with each question; long context costs the document with the first
question, and with later ones less what a prefix cache keeps of it; retrieval costs an index once, and a search and a
few passages with each question. All three answer through one running stack, so many questions at once as is asked for.
What an answer is worth is for `lift eval` to say.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.documents import document
from benchmarks.failures import by_reason
from benchmarks.machine import describe
from benchmarks.pairs import pairs
from benchmarks.queries import MAX_TOKENS, Outcome, Query, ask_all
from benchmarks.spread import spread
from evals.context import MARGIN, MIN_CHARACTERS, share_that_fits, without_middle
from evals.retrieval import Retriever, available, passages
from lift.client import AsyncClient
from lift.errors import InvalidOption, LiftError, QuestionTooLong
from lift.values import TrainingOptions

ADAPTER, CONTEXT, RETRIEVAL = "adapter", "long context", "retrieval"
RIVALS = (CONTEXT, RETRIEVAL)
RETRIEVED_PASSAGES = 5
QUESTIONS_EACH = 8
QUESTION = "What was built?"
LONG_QUESTION = 12 * QUESTION  # longer than any that is asked
MAX_SENTENCES, MAX_AT_ONCE = 2000, 1024

Spread = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `sentences`: the length of each document; `concurrency`: questions at once, each in turn."""

    state_dir: Path
    sentences: Sequence[int]
    concurrency: Sequence[int]
    repeats: int
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        """InvalidOption: a number that no run can have; bm25s is not installed."""
        for name, given, most in (
            ("sentences", self.sentences, MAX_SENTENCES),
            ("concurrency", self.concurrency, MAX_AT_ONCE),
        ):
            if not given or any(not 1 <= each <= most for each in given):
                raise InvalidOption(option=name, expected=f"numbers from 1 to {most}")
        if self.repeats < 1:
            raise InvalidOption(option="repeats", value=self.repeats, expected="at least 1")
        available("breakeven")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What documents of one length took, in seconds: trainings, first questions by method, later ones by level as well.

    `shares`: of documents, in the prompts of long context; `failed`: trainings; `refused`: why a method did not answer.
    """

    training: list[float] = field(default_factory=list)
    first: dict[str, list[float]] = field(default_factory=dict)
    later: dict[int, dict[str, list[float]]]
    prompt_tokens: dict[str, int] = field(default_factory=dict)
    shares: list[float] = field(default_factory=list)
    failed: list[LiftError] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def bench_breakeven(plan: Plan) -> dict[str, Any]:
    """Interleaved repeats: a new document of each length, its training, and all methods in turns about it.

    The result that `--json` prints. GatewayUnavailable; what the last training failed with, where all have.
    """
    return asyncio.run(_bench(plan))


async def _bench(plan: Plan) -> dict[str, Any]:
    asked = cycle(question for question, _ in pairs())
    seed = time.time_ns()  # so that no document is one that was trained on before
    found = {length: Seen(later={level: {} for level in plan.concurrency}) for length in plan.sentences}
    async with AsyncClient(state_dir=plan.state_dir) as client:
        await client.query(None, QUESTION, max_tokens=MAX_TOKENS)  # a stack that does not answer is said now
        _retrieving("Nothing.")  # the package is read before its time is taken
        for repeat in range(1, plan.repeats + 1):
            for length, seen in found.items():
                seed += 1
                try:
                    await _measure(client, seen, document(length, seed), f"bench {length} {seed}", asked)
                except LiftError as error:
                    seen.failed.append(error)
                    plan.say(f"{repeat}/{plan.repeats} {length} sentences: {error}")
                else:
                    plan.say(f"{repeat}/{plan.repeats} {length} sentences: trained in {seen.training[-1]:.0f} s")
    if not any(seen.training for seen in found.values()):
        raise found[plan.sentences[-1]].failed[-1]
    return {
        "machine": describe(),
        "repeats": plan.repeats,
        "max_tokens": MAX_TOKENS,
        "retrieved_passages": RETRIEVED_PASSAGES,
        "sentences": {str(length): figures(seen) for length, seen in found.items() if seen.training},
        "failed": by_reason({length: seen.failed for length, seen in found.items()}),
    }


async def _measure(client: AsyncClient, seen: Seen, text: str, title: str, asked: Iterator[str]) -> None:
    """Trains an adapter of one document, and asks all methods about it. LiftError: it could not be trained."""
    training, adapter = await _trained(client, text, title)
    seen.training.append(training)
    methods = {ADAPTER: partial(_knowing, adapter)}
    try:
        kept = await _fitting(client, text)
    except LiftError as error:
        seen.refused[CONTEXT] = error.reason()
    else:
        seen.shares.append(len(kept) / len(text))
        methods[CONTEXT] = partial(_reading, kept)
    methods[RETRIEVAL] = partial(_retrieving, text)  # last: the document must not be cached for its reader
    await _ask(client, seen, methods, asked)


async def _trained(client: AsyncClient, text: str, title: str) -> tuple[float, str]:
    """Seconds from accepted to ready, without the queue, and the adapter."""
    options = TrainingOptions(scope=0)  # it is asked about anything, and no answer is to be the base model's
    begun = await client.ingest(text, title=title, options=options, wait=False)
    job = await client.jobs.wait(begun.job.id)
    return job.progress.seconds.total - job.progress.seconds.queue, begun.adapter


async def _fitting(client: AsyncClient, text: str) -> str:
    """The text, without its middle where the window holds less of it and a long question. LiftError: it cannot be said.

    What is asked for that begins otherwise than a prompt to be measured, or its prefix would be cached.
    """
    kept = text
    while True:
        try:
            await client.query(None, f"{QUESTION} {_reading(kept)(LONG_QUESTION).question}", max_tokens=MAX_TOKENS)
        except QuestionTooLong as refused:
            if len(kept) < MIN_CHARACTERS:
                raise
            kept = without_middle(text, int(len(kept) * min(MARGIN, share_that_fits(refused) * MARGIN)))
        else:
            return kept


def _knowing(adapter: str | None) -> Callable[[str], Query]:
    return lambda question: Query(adapter=adapter, question=question)


def _reading(text: str) -> Callable[[str], Query]:
    return lambda question: Query(adapter=None, question=f"{text}\n\n{question}")


def _retrieving(text: str) -> Callable[[str], Query]:
    retriever = Retriever(passages(text))

    def query(question: str) -> Query:
        best = "\n\n".join(retriever.best(question, RETRIEVED_PASSAGES))
        return Query(adapter=None, question=f"{best}\n\n{question}")

    return query


async def _ask(
    client: AsyncClient, seen: Seen, methods: Mapping[str, Callable[[], Callable[[str], Query]]], asked: Iterator[str]
) -> None:
    """Asks all methods about one document; each is made ready within the time of its first question."""
    queries = {}
    for name, ready in methods.items():
        began_at = time.perf_counter()
        queries[name] = query = ready()
        [outcome], _ = await ask_all(client, [query(QUESTION)], 1)
        if _answered(seen, name, [outcome]):
            seen.first.setdefault(name, []).append(time.perf_counter() - began_at)
            seen.prompt_tokens[name] = outcome.prompt_tokens
    for level, by_method in seen.later.items():
        questions = list(islice(asked, QUESTIONS_EACH * level))
        for name, query in queries.items():
            outcomes, seconds = await ask_all(client, (query(question) for question in questions), level)
            if _answered(seen, name, outcomes):
                by_method.setdefault(name, []).append(seconds / len(questions))


def _answered(seen: Seen, name: str, outcomes: Sequence[Outcome]) -> bool:
    """Whether all are answers; why not is noted."""
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        seen.refused[name] = errors[0]
    return not errors


def figures(seen: Seen) -> dict[str, Any]:
    """What documents of one length cost. Of a method that did not answer there is what it did answer, and why."""
    first = {name: spread(measured, 4) for name, measured in seen.first.items()}
    training = spread(seen.training, 1)
    return {
        "training_seconds": training,
        "first_seconds": first,
        "prompt_tokens": seen.prompt_tokens,
        "document_in_context": spread(seen.shares, 3) if seen.shares else None,
        "concurrency": {
            str(level): _later(training, first, {name: spread(measured, 4) for name, measured in by_method.items()})
            for level, by_method in seen.later.items()
        },
        "failed": {name: why for name, why in seen.refused.items() if name == ADAPTER},
        "rivals_failed": {name: why for name, why in seen.refused.items() if name in RIVALS},
    }


def _later(training: Spread, first: Mapping[str, Spread], each: Mapping[str, Spread]) -> dict[str, Any]:
    answered = [rival for rival in RIVALS if {ADAPTER, rival} <= first.keys() & each.keys()]
    return {
        "seconds_a_question": each,
        "break_even_questions": {
            rival: break_even(
                training["median"] + first[ADAPTER]["median"] - first[rival]["median"],
                each[rival]["median"] - each[ADAPTER]["median"],
            )
            for rival in answered
        },
    }


def break_even(more: float, saved: float) -> int | None:
    """The number of questions from which on an adapter is the cheaper one.

    `more`: seconds that it costs more than a rival until the first question is answered; `saved`: by each one after
    that. None where it saves nothing: then it never is.
    """
    return 1 + max(0, round(more / saved)) if saved > 0 else None
