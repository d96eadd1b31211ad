"""`lift adapters`: what a tenant asks, and its revisions."""

from pathlib import Path
from typing import Annotated

import typer

from lift.cli import options, output

app = typer.Typer(help="List, show, download, roll back and delete adapters.", no_args_is_help=True)

Adapter = Annotated[str, typer.Argument(metavar="ADAPTER", help="Its id.")]


@app.command("list")
def list_(state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """List all adapters, newest first."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        columns = ("id", "title", "state", "job", "created_at")
        output.print_rows("adapters", client.adapters.list(), columns, as_json)


@app.command()
def show(adapter: Adapter, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Show one adapter and its revisions, newest first."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        found, revisions = client.adapters.get(adapter), tuple(client.adapters.revisions(adapter))
    if as_json:
        output.print_json({**output.plain(found), "revisions": output.plain(revisions)})
        return
    output.print_object(found, as_json=False)
    output.line("")
    columns = ("digest", "rank", "pairs", "losses", "recall", "coverage", "retention", "created_at")
    output.print_rows("revisions", revisions, columns, as_json=False)


@app.command()
def sentences(
    adapter: Adapter,
    revision: Annotated[str | None, typer.Option(help="A digest; the current one where absent.")] = None,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Only those that a question asked about was missed.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the sentences that a revision was made from, and which of them it knows."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        found = [
            {**output.plain(sentence), "known": sentence.known}
            for sentence in client.adapters.sentences(adapter, revision=revision)
            if not unknown or sentence.known is False
        ]
    if as_json:
        output.print_json({"sentences": found})
        return
    rows = [{**sentence, "pairs": len(sentence["pairs"])} for sentence in found]
    output.print_rows("sentences", rows, ("known", "pairs", "text"), as_json=False)


@app.command()
def download(
    adapter: Adapter,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the files.")],
    revision: Annotated[str | None, typer.Option(help="A digest; the current one where absent.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Write a revision's files in PEFT format."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        files = client.adapters.download(adapter, folder, revision=revision)
    if as_json:
        output.print_json({"adapter": adapter, "files": files})
        return
    for file in files:
        output.line(str(file))


@app.command()
def rollback(
    adapter: Adapter,
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="A digest, as `lift adapters show` has it.")],
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make an earlier revision the current one."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        output.print_object(client.adapters.rollback(adapter, revision), as_json)


@app.command()
def delete(adapter: Adapter, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Delete an adapter with its revisions; prints the job that does so."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        output.print_object(client.adapters.delete(adapter), as_json)
