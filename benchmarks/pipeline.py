"""`lift bench pipeline`: a running stack from document accepted to first answer token, beside its parts alone."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.alone import Alone
from benchmarks.documents import document, question
from benchmarks.environment import used
from benchmarks.failures import by_reason
from benchmarks.machine import describe
from benchmarks.spread import spread
from lift.client import Client
from lift.errors import InvalidOption, LiftError
from lift.stack.folder import StateFolder
from lift.timeline import spans
from lift.values import StageSeconds

MAX_SENTENCES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `sentences`: the length of each document."""

    state: StateFolder
    sentences: Sequence[int]
    repeats: int
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        """InvalidOption: a number that no run can have."""
        if not self.sentences or any(not 1 <= length <= MAX_SENTENCES for length in self.sentences):
            raise InvalidOption(option="sentences", expected=f"numbers from 1 to {MAX_SENTENCES}")
        if self.repeats < 1:
            raise InvalidOption(option="repeats", value=self.repeats, expected="at least 1")


class OutOfScope(LiftError):
    """The base model answered a question about the document in the adapter's place"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One document's way. `answered`: accepted to first answer token; `generation` and `training`: each alone."""

    answered: float
    stages: StageSeconds
    pairs: int
    steps: int
    generation: float
    training: float

    @property
    def after_training(self) -> float:
        """From the last optimizer step to the first answer token."""
        return self.answered - max(span.end_seconds for span in spans(self.stages) if span.stage == "train")

    @property
    def starved(self) -> float:
        """Share of training in which it waited for pairs."""
        return self.stages.starved / self.stages.train


def bench_pipeline(plan: Plan) -> dict[str, Any]:
    """Interleaved repeats of all lengths: the result that `--json` prints, with the reasons of documents that failed.

    StackStopped, GatewayUnavailable, and what the last document failed with, where all have.
    """
    seed = time.time_ns()  # so that no document is one that was trained on before
    runs: dict[int, list[Run]] = {length: [] for length in plan.sentences}
    failed: dict[int, list[LiftError]] = {length: [] for length in plan.sentences}
    with Client(state_dir=plan.state.path) as client, closing(Alone.of(plan.state)) as alone:
        for repeat in range(1, plan.repeats + 1):
            for length in plan.sentences:
                seed += 1
                try:
                    run = _run(client, alone, document(length, seed), f"bench {length} {seed}")
                except LiftError as error:
                    failed[length].append(error)
                    plan.say(f"{repeat}/{plan.repeats} {length} sentences: {error}")
                    continue
                runs[length].append(run)
                plan.say(
                    f"{repeat}/{plan.repeats} {length} sentences, {run.pairs} pairs: {run.answered:.1f} s;"
                    f" alone: generation {run.generation:.1f} s, training {run.training:.1f} s"
                )
    if not any(runs.values()):
        raise failed[plan.sentences[-1]][-1]
    return {
        "machine": describe(),
        "environment": used(),
        "repeats": plan.repeats,
        "sentences": {str(length): figures(seen) for length, seen in runs.items() if seen},
        "failed": by_reason(failed),
    }


def _run(client: Client, alone: Alone, text: str, title: str) -> Run:
    """The document through the stack, then its questions and its training alone, on the same machine.

    JobFailed, OutOfScope, and what else can come between a document and its answer.
    """
    begun = client.ingest(text, title=title, wait=False)
    accepted_at = time.perf_counter()
    job = client.jobs.wait(begun.job.id)
    stream = client.stream(begun.adapter, question(text), max_tokens=8)
    next(iter(stream), "")
    answered = time.perf_counter() - accepted_at
    if stream.answer().out_of_scope:
        raise OutOfScope(question=question(text))
    pairs, generation = alone.generate(text, title)
    training = alone.train(pairs)
    return Run(
        answered=answered,
        stages=job.progress.seconds,
        pairs=job.progress.pairs,
        steps=job.progress.steps,
        generation=generation,
        training=training,
    )


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Medians and ranges over the runs of one length, in seconds; ratios to the parts alone."""
    stages = [stage for stage in StageSeconds.__dataclass_fields__ if stage != "starved"]
    return {
        "pairs": [run.pairs for run in runs],
        "steps": [run.steps for run in runs],
        "accepted_to_first_token_seconds": spread([run.answered for run in runs]),
        "stage_seconds": {stage: spread([getattr(run.stages, stage) for run in runs], 3) for stage in stages},
        "generation_alone_seconds": spread([run.generation for run in runs]),
        "training_alone_seconds": spread([run.training for run in runs]),
        "to_max_of_parts": spread([run.answered / max(run.generation, run.training) for run in runs], 3),
        "to_sum_of_parts": spread([run.answered / (run.generation + run.training) for run in runs], 3),
        "starved_share": spread([run.starved for run in runs], 3),
        "after_training_share": spread([run.after_training / run.answered for run in runs], 3),
    }
