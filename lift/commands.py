"""Runs a command line. What goes wrong is one sentence on stderr and an exit code that is not 0."""

import sys
from pathlib import Path
from typing import NoReturn

import typer

from lift import proxies
from lift.errors import InvalidOption, LiftError, StackFailed

INTERRUPTED = 130


def run(app: typer.Typer) -> NoReturn:
    """Runs one command of the app and ends the process."""
    proxies.pass_by()
    try:
        sys.exit(app(standalone_mode=False, prog_name=app.info.name))
    except typer.TyperException as error:
        _end(error.format_message(), error.exit_code)
    except StackFailed as error:
        _show_log(error)
        _end(str(error), 1)
    except LiftError as error:
        _end(str(error), 1)
    except UnicodeEncodeError as error:
        _end(f"This cannot be written in {error.encoding}: {error.object[error.start : error.end]!a}", 1)
    except OSError as error:
        _end(f"{error.strerror}: {error.filename}" if error.filename else str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)


def must_be_new(out: Path) -> None:
    """InvalidOption: what a command is to write is there already."""
    if out.exists():
        raise InvalidOption(option="--out", value=str(out), problem="it is there already")


def _end(sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"{' '.join(sentence.split())}\n")
    sys.exit(code)


def _show_log(error: StackFailed) -> None:
    from lift.stack.logfiles import last_lines

    if said := last_lines(Path(str(error.facts.get("log", "")))):
        sys.stderr.write(f"{said}\n\n")
