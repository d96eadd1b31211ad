"""Teaches a question writer: `python -m trainer.writer`, which `lift writer` becomes.

The writer is a LoRA adapter of small rank that learns three things of each row of human questions: what to ask for, to
ask the question that has this answer, and to read the answer to the question off. A row is one line of JSON with
sentence, question and answer, and where there are any title and window (the text before the sentence).
"""

import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import structlog
import typer

from lift import logs
from lift.cli.options import BaseModelName, Device, Json, ManifestName, NewFolder
from lift.cli.output import print_object
from lift.commands import must_be_new, run
from lift.teaching import Course, Row, rows_of
from lift.template import PromptTemplate
from lift.writing import answer_prompt, proposal_prompt
from trainer.base_model import BaseModel, embedded, load
from trainer.examples.batches import Encoder, Example
from trainer.jobs.publish import Made, write_system_adapter
from trainer.learners.learner import Adapter
from trainer.profiles import Hyperparameters
from trainer.workshop import unshared_learner

log = structlog.get_logger()

TITLED_SHARE = 0.6  # of the passages are shown with their title: many documents that are asked about have none
BUCKET_PASSAGES = 512  # passages sorted by length together
SAID_EVERY = 20
RECIPE = Hyperparameters(
    rank=8, alpha=16.0, learning_rate=2e-3, epochs=1, batch_size=64, decay=True, max_pair_tokens=400
)

app = typer.Typer(name="lift writer", no_args_is_help=True, add_completion=False)


Passage: TypeAlias = list[Row]
"""The rows about one sentence."""


def read_rows(file: Path) -> Course[Passage]:
    """The passages of a JSON lines file of rows. InvalidOption: none, or a line that is no row."""
    return Course.read(file, _passages, lambda passage: passage[0].title)


def _passages(content: bytes) -> list[Passage]:
    rows = sorted((row for _, row in rows_of(content)), key=lambda row: row.passage)
    return [list(about) for _, about in groupby(rows, lambda row: row.passage)]


def examples_of(passage: Passage, encoder: Encoder, *, titled: bool) -> list[Example]:
    """Two examples a row, answer with question and question with answer; those that are too long are left out."""
    examples = []
    for row in passage:
        about = {"title": row.title if titled else "", "window": row.window, "sentence": row.sentence}
        examples.append(encoder.raw(proposal_prompt(**about), f" {row.answer}\nQuestion: {row.question}"))
        examples.append(encoder.raw(answer_prompt(**about, question=row.question), f" {row.answer}"))
    return [example for example in examples if example]


def batches(passages: Sequence[list[Example]], size: int, shuffler: random.Random) -> Iterator[list[Example]]:
    """All examples once, about `size` in a batch, those of a passage together: what they share is computed once."""
    shuffled = shuffler.sample(passages, len(passages))
    found: list[list[Example]] = []
    for start in range(0, len(shuffled), BUCKET_PASSAGES):
        filling: list[Example] = []
        for examples in sorted(shuffled[start : start + BUCKET_PASSAGES], key=_length):
            filling += examples
            if len(filling) >= size:
                found.append(filling)
                filling = []
        found += [filling] if filling else []
    yield from shuffler.sample(found, len(found))


def _length(examples: Sequence[Example]) -> int:
    return max((len(example.tokens) for example in examples), default=0)


def teach(rows: Course[Passage], base: BaseModel, hyperparameters: Hyperparameters, folder: Path) -> dict[str, Any]:
    """Writes the writer to a new folder; what it took, and its loss on the passages held out, before and after."""
    template = PromptTemplate.for_vocabulary(base.tokenizer.get_vocab())
    encoder = Encoder(base.tokenizer, template, hyperparameters.max_pair_tokens)
    shuffler = random.Random(hyperparameters.seed)  # noqa: S311 - an order, no secret
    began = time.monotonic()
    with unshared_learner(base).adapter(hyperparameters) as adapter:
        unseen = [examples_of(passage, encoder, titled=True) for passage in rows.held_out]
        measured = list(batches(unseen, hyperparameters.batch_size, shuffler))
        before = _mean_loss(adapter, measured)
        steps = [
            batch
            for _ in range(hyperparameters.epochs)
            for batch in batches(
                [examples_of(passage, encoder, titled=shuffler.random() < TITLED_SHARE) for passage in rows.taught],
                hyperparameters.batch_size,
                shuffler,
            )
        ]
        for number, batch in enumerate(steps):
            loss = adapter.step(batch, hyperparameters.left_after(number / len(steps)))
            if number % SAID_EVERY == 0:
                log.info("teaching", step=number, steps=len(steps), loss=round(loss, 3))
        after = _mean_loss(adapter, measured)
        weights = adapter.weights()
    made = Made(
        base=base,
        template=template,
        hyperparameters=hyperparameters,
        data_sha256=rows.sha256,
        sentences=len(rows.taught),
        pairs=sum(map(len, rows.taught)),
    )
    manifest = write_system_adapter(folder, weights, made)
    return {
        "folder": str(folder),
        "rows": manifest.pairs,
        "steps": len(steps),
        "held_out_rows": sum(map(len, rows.held_out)),
        "held_out_loss_before": before,
        "held_out_loss": after,
        "size_bytes": manifest.size_bytes,
        "seconds": round(time.monotonic() - began, 1),
    }


def _mean_loss(adapter: Adapter, measured: Sequence[list[Example]]) -> float | None:
    """Loss per answer token in nats; None where there are none."""
    total = tokens = 0.0
    for batch in measured:
        answer_tokens = sum(example.answer_tokens for example in batch)
        total += adapter.loss(batch) * answer_tokens
        tokens += answer_tokens
    return round(total / tokens, 4) if tokens else None


@app.callback()
def writer() -> None:
    """The adapter that asks questions as people do, for strategy `grounded` on a small model."""


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Human questions as JSON lines: sentence, question, answer, ...")],
    out: NewFolder,
    *,
    base_model: BaseModelName = "",
    name: ManifestName = "",
    rank: Annotated[int, typer.Option(min=1, help="LoRA rank; the size follows from it.")] = RECIPE.rank,
    learning_rate: Annotated[float, typer.Option(min=1e-8, max=1, help="At its highest.")] = RECIPE.learning_rate,
    epochs: Annotated[int, typer.Option(min=1, help="How often each row is learned.")] = RECIPE.epochs,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples per step; a row makes two.")] = RECIPE.batch_size,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Teach a question writer, and measure it on titles it has not seen."""
    must_be_new(out)
    rows = read_rows(data)
    base = load(base_model or str(embedded()), device, threads=0)
    hyperparameters = replace(
        RECIPE, rank=rank, alpha=2.0 * rank, learning_rate=learning_rate, epochs=epochs, batch_size=batch_size
    )
    result = teach(rows, replace(base, name=name or base.name), hyperparameters, out)
    print_object(result, as_json)


if __name__ == "__main__":
    logs.configure(as_json=not sys.stderr.isatty(), role="writer")
    run(app)
