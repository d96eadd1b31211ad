"""`lift up`, `down` and `status`: the embedded stack."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lift.cli import options, output

if TYPE_CHECKING:
    from lift.client.connection import ClientFile
    from lift.stack.folder import StateFolder
    from lift.stack.record import StackRecord

PANEL = "The embedded stack"


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (up, down, status):
        app.command(rich_help_panel=PANEL)(command)


def up(
    state: options.State = options.DEFAULT_STATE,
    detach: Annotated[bool, typer.Option("--detach", help="Return when ready and leave it running.")] = False,
    as_json: options.Json = False,
) -> None:
    """Start everything on this machine: Valkey, SeaweedFS, engine, generator, trainer, gateway."""
    folder = _folder(state)

    def tell(client: "ClientFile") -> None:
        _tell_ready(folder.path, client, as_json)

    if detach:
        from lift.stack.control import start

        tell(start(folder, _Progress().seen))
        return
    from lift import logs
    from lift.stack.up import up

    logs.configure(as_json=not sys.stderr.isatty(), role="supervisor")
    up(folder, tell)


def down(state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Stop the stack, and wait until nothing of it is left."""
    from lift.stack.control import stop

    stop(_folder(state))
    output.print_nothing(as_json)


def status(state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Show every process: pid, ports, restarts, since when, healthy or not."""
    from lift.stack.control import status

    found = status(_folder(state))
    rows = [
        {
            "process": process.record.name,
            "state": process.record.state,
            "healthy": process.healthy,
            "pid": process.record.pid or None,
            "ports": process.record.ports,
            "restarts": process.record.restarts,
            "since": process.record.since,
        }
        for process in found.processes
    ]
    if as_json:
        output.print_json({"ready": found.ready, "supervisor": found.supervisor, "processes": rows})
    else:
        output.print_rows("processes", rows, tuple(rows[0]), as_json=False)


def _folder(path: Path) -> "StateFolder":
    from lift.stack.folder import StateFolder

    return StateFolder(path.resolve())


def _tell_ready(state: Path, client: "ClientFile", as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "state": state,
                "address": client.address,
                "http_url": client.http_url,
                "admin_address": client.admin_address,
            }
        )
        return
    output.line(f"Ready. gRPC {client.address}, OpenAI {client.http_url}, administration {client.admin_address}")
    output.line(f"Keys are in {state / 'client.json'}; `lift ingest FILE --state {state}` goes on from here.")


class _Progress:
    """Says on stderr which processes became ready."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def seen(self, stack: "StackRecord") -> None:
        """Says what is new."""
        for process in stack.processes:
            if process.state == "ready" and process.name not in self._said:
                self._said.add(process.name)
                output.note(f"{process.name} is ready")
