"""The options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

State = Annotated[
    Path,
    typer.Option("--state", envvar="LIFT_STATE_DIR", help="State folder of the stack.", show_default=".lift"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
MAX_INT32, MAX_INT64 = 2**31 - 1, 2**63 - 1
"""What the contract's fields hold."""
DEFAULT_STATE = Path(".lift")
