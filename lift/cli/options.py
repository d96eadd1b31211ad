"""The options that many commands share, and how those of several numbers are read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lift.errors import InvalidOption

State = Annotated[
    Path,
    typer.Option("--state", envvar="LIFT_STATE_DIR", help="State folder of the stack.", show_default=".lift"),
]
NewFolder = Annotated[Path, typer.Option(help="Folder to write; it must not be there yet.")]
BaseModelName = Annotated[str, typer.Option(help="Base model; default: the embedded one.")]
ManifestName = Annotated[str, typer.Option(help="What the manifest calls the base model.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU where there is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT_STATE = Path(".lift")


def numbers(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of a text such as "1,4,16", each once, in its order. InvalidOption."""
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise InvalidOption(option=option, value=text, expected="whole numbers such as 1,4,16") from error
