"""The options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

State = Annotated[
    Path,
    typer.Option("--state", envvar="LIFT_STATE_DIR", help="State folder of the stack.", show_default=".lift"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT_STATE = Path(".lift")
