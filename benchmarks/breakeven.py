"""`lift bench breakeven`: after how many questions an adapter has cost less than long context or retrieval.

An adapter costs its training once and a short prompt with each question; long context costs the document with each
question, less what a prefix cache keeps of it; retrieval costs a few passages. All three answer through one running
stack, so many questions at once as is asked for. What an answer is worth is for `lift eval` to say.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.documents import document
from benchmarks.machine import describe
from benchmarks.pairs import pairs
from benchmarks.queries import MAX_TOKENS, Query, ask_all
from benchmarks.spread import spread
from evals.methods import RETRIEVED_PASSAGES
from evals.retrieval import Retriever, available, passages
from lift.client import AsyncClient
from lift.errors import EngineUnavailable, InvalidOption
from lift.values import TrainingOptions

ADAPTER, CONTEXT, RETRIEVAL = "adapter", "long context", "retrieval"
RIVALS = (CONTEXT, RETRIEVAL)
QUESTIONS_EACH = 8
QUESTION = "What was built?"
MAX_SENTENCES, MAX_AT_ONCE = 2000, 1024


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


def bench_breakeven(plan: Plan) -> dict[str, Any]:
    """Trains an adapter of each length, then asks all methods in turns: the result that `--json` prints.

    QuestionTooLong: a document does not fit the base model's window; GatewayUnavailable, JobFailed; EngineUnavailable:
    questions went without an answer.
    """
    return asyncio.run(_bench(plan))


async def _bench(plan: Plan) -> dict[str, Any]:
    seed = time.time_ns()  # so that no document is one that was trained on before
    texts = {length: document(length, seed + length) for length in plan.sentences}
    found = {}
    async with AsyncClient(state_dir=plan.state_dir) as client:
        for text in texts.values():  # before minutes of training, whether each fits the window
            await client.query(None, _reading(text)(QUESTION).question, max_tokens=MAX_TOKENS)
        for length, text in texts.items():
            training, adapter = await _trained(client, text, f"bench {length} {seed}")
            plan.say(f"{length} sentences: trained in {training:.0f} s")
            asked = {
                ADAPTER: _knowing(adapter),
                CONTEXT: _reading(text),
                RETRIEVAL: _retrieving(text),
            }
            found[str(length)] = await _asked(client, plan, training, asked)
    return {"machine": describe(), "repeats": plan.repeats, "max_tokens": MAX_TOKENS, "sentences": found}


async def _trained(client: AsyncClient, text: str, title: str) -> tuple[float, str]:
    """Seconds from accepted to ready, without the queue, and the adapter."""
    options = TrainingOptions(scope=0)  # it is asked about anything, and no answer is to be the base model's
    begun = await client.ingest(text, title=title, options=options, wait=False)
    job = await client.jobs.wait(begun.job.id)
    return job.progress.seconds.total - job.progress.seconds.queue, begun.adapter


def _knowing(adapter: str) -> Callable[[str], Query]:
    return lambda question: Query(adapter=adapter, question=question)


def _reading(text: str) -> Callable[[str], Query]:
    return lambda question: Query(adapter=None, question=f"{text}\n\n{question}")


def _retrieving(text: str) -> Callable[[str], Query]:
    retriever = Retriever(passages(text))

    def query(question: str) -> Query:
        best = "\n\n".join(retriever.best(question, RETRIEVED_PASSAGES))
        return Query(adapter=None, question=f"{best}\n\n{question}")

    return query


async def _asked(
    client: AsyncClient, plan: Plan, training: float, asked: Mapping[str, Callable[[str], Query]]
) -> dict[str, Any]:
    """Seconds a question of each method at each level, and where the adapter's line crosses the others'."""
    questions = cycle(question for question, _ in pairs())
    seen: dict[int, dict[str, list[float]]] = {level: {name: [] for name in asked} for level in plan.concurrency}
    tokens: dict[str, int] = {}
    for name, query in asked.items():  # what is cached is cached before anything is measured
        tokens[name] = await _prompt_tokens(client, query(QUESTION))
    for _ in range(plan.repeats):
        for level, by_method in seen.items():
            new = list(islice(questions, QUESTIONS_EACH * level))  # one that was asked is cached
            for name, query in asked.items():
                outcomes, seconds = await ask_all(client, [query(question) for question in new], level)
                failed = [outcome.error for outcome in outcomes if outcome.error]
                if failed:
                    raise EngineUnavailable(problem=f"{name}: {failed[0]}")
                by_method[name].append(seconds / len(new))
    return {
        "training_seconds": round(training, 1),
        "prompt_tokens": tokens,
        "concurrency": {str(level): figures(training, by_method) for level, by_method in seen.items()},
    }


async def _prompt_tokens(client: AsyncClient, query: Query) -> int:
    answer = await client.query(query.adapter, query.question, max_tokens=1)
    return answer.usage.prompt_tokens


def figures(training: float, seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Seconds a question of each method, and the number of questions from which on the adapter is the cheaper one.

    That number is null where the rival's questions cost no more than the adapter's: then the adapter never is.
    """
    each = {name: spread(measured, 4) for name, measured in seconds.items()}
    break_even = {}
    for rival in RIVALS:
        saved = each[rival]["median"] - each[ADAPTER]["median"]
        break_even[rival] = round(training / saved) if saved > 0 else None
    return {"seconds_a_question": each, "break_even_questions": break_even}
