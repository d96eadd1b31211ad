"""`lift documents`: what a tenant keeps."""

from typing import Annotated

import typer

from lift.cli import options, output

app = typer.Typer(help="List, show and delete documents.", no_args_is_help=True)

Document = Annotated[str, typer.Argument(metavar="DOCUMENT", help="Its id.")]


@app.command("list")
def list_(state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """List all documents, newest first."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        columns = ("id", "title", "media_type", "size_bytes", "created_at")
        output.print_rows("documents", client.documents.list(), columns, as_json)


@app.command()
def show(document: Document, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Show one document's description."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        output.print_object(client.documents.get(document), as_json)


@app.command()
def delete(document: Document, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Delete a document that no adapter and no revision is made from."""
    from lift.client import Client

    with Client(state_dir=state) as client:
        client.documents.delete(document)
    output.print_nothing(as_json)
