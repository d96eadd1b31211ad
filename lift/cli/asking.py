"""`lift ingest` and `lift query`: the two things that tenants do."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lift import limits, training
from lift.cli import options, output

if TYPE_CHECKING:
    from lift.values import Ingested, Job

PANEL = "Documents and questions"
STDIN = "-"


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(rich_help_panel=PANEL)(ingest)
    app.command(rich_help_panel=PANEL)(query)


def ingest(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Text or Markdown; - is standard input.")],
    *,
    title: Annotated[str | None, typer.Option(help="What to call it; the file's name where absent.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Its id; one that exists is retrained from these files.")] = None,
    train: training.Train = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it can be asked.")] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Turn documents into one adapter."""
    from lift.cli.progress import followed
    from lift.client import Client

    chosen = training.training_options(training.named(train or ()))
    sources = [sys.stdin.buffer.read() if file == STDIN else Path(file) for file in files]
    with Client(state_dir=state) as client:
        begun = client.ingest(sources, title=title, adapter=adapter, options=chosen, wait=False)
        job = followed(client.jobs.watch(begun.job.id)) if wait else begun.job
    if job.error is not None:
        raise job.error
    output.print_object(_ingested(begun, job), as_json)


def _ingested(begun: "Ingested", job: "Job") -> dict[str, Any]:
    return {
        "document": begun.documents[0].id,
        "documents": [document.id for document in begun.documents],
        "adapter": begun.adapter,
        "revision": job.revision,
        "job": job.id,
        "state": job.state,
        "sentences": job.progress.sentences,
        "pairs": job.progress.pairs,
        "seconds": job.progress.seconds,
    }


def query(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help='The adapter\'s id; "" asks the base model.')],
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    *,
    context: Annotated[Literal["none", "document"], typer.Option(help="What the prompt holds beside it.")] = "none",
    max_tokens: Annotated[
        int | None, typer.Option(min=1, max=limits.MAX_INT32, help="Of the answer; the server's default.")
    ] = None,
    evidence: Annotated[int, typer.Option(min=0, max=20, help="Name so many sentences behind the answer.")] = 0,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Ask a question; the answer appears as it is written."""
    from lift.client import Client
    from lift.client.queries import Asking

    asking: Asking = {"context": context, "max_evidence": evidence}
    if max_tokens is not None:
        asking["max_tokens"] = max_tokens
    with Client(state_dir=state) as client:
        stream = client.stream(adapter or None, question, **asking)
        for piece in stream:
            if not as_json:
                sys.stdout.write(piece)
                sys.stdout.flush()
        answer = stream.answer()
    if not as_json:
        output.line("")
        for found in answer.evidence:
            output.line(f"  {found.score:.2f}  {found.text}")
        return
    output.print_json(
        {
            "answer": answer.text,
            "adapter": answer.adapter,
            "revision": answer.revision,
            "finish_reason": answer.finish_reason,
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "first_token_seconds": answer.usage.first_token_seconds,
            "total_seconds": answer.usage.total_seconds,
            "out_of_scope": answer.out_of_scope,
            "context_truncated": answer.context_truncated,
            "evidence": answer.evidence,
        }
    )
