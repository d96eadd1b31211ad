"""The command line `lift`: commands over the client and the embedded stack; results on stdout, errors on stderr.

Whatever is slow to import is imported inside the command that needs it.
"""

import sys
from pathlib import Path
from typing import NoReturn

import typer

from lift.cli import adapters, administration, asking, documents, jobs, output, roles, stack
from lift.errors import LiftError, StackFailed

PANEL = "What there is"
INTERRUPTED = 130

app = typer.Typer(
    name="lift",
    help="Turns documents into LoRA adapters, and answers questions from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
stack.add_to(app)
asking.add_to(app)
app.add_typer(documents.app, name="documents", rich_help_panel=PANEL)
app.add_typer(adapters.app, name="adapters", rich_help_panel=PANEL)
app.add_typer(jobs.app, name="jobs", rich_help_panel=PANEL)
app.add_typer(administration.app, name="admin", rich_help_panel=PANEL)
roles.add_to(app)


def main() -> None:
    """Runs one command. What goes wrong is one sentence on stderr and an exit code that is not 0."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        _end(error.format_message(), error.exit_code)
    except StackFailed as error:
        _show_log(error)
        _end(str(error), 1)
    except LiftError as error:
        _end(str(error), 1)
    except OSError as error:
        _end(f"{error.strerror}: {error.filename}" if error.filename else str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)


def _end(sentence: str, code: int) -> NoReturn:
    output.note(" ".join(sentence.split()))
    sys.exit(code)


def _show_log(error: StackFailed) -> None:
    from lift.stack.logfiles import last_lines

    if said := last_lines(Path(str(error.facts.get("log", "")))):
        output.note(f"{said}\n")
