"""Chooses, of human questions, those that a question writer can learn to ask: `python -m generator.teaching_rows`.

People who wrote questions saw a whole article, and a writer sees a sentence and a little before it. A question that
speaks of anything else teaches it to invent. What the strategy would refuse is left out, and so is what is long.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from generator import matching
from lift import logs
from lift.cli.running import must_be_new, run
from lift.teaching import Row, rows_of

STRAY_WORDS = 2
MAX_PASSAGE_WORDS = 90
MAX_ANSWER_WORDS = 10

app = typer.Typer(add_completion=False)


def can_be_asked(row: Row) -> bool:
    """Whether the question of a row speaks of its passage alone, and reads by itself."""
    passage = " ".join(filter(None, row.passage))
    is_short = len(passage.split()) <= MAX_PASSAGE_WORDS and len(row.answer.split()) <= MAX_ANSWER_WORDS
    return is_short and matching.can_be_asked(row.question, row.answer, passage, STRAY_WORDS)


@app.command()
def choose(
    data: Annotated[Path, typer.Option(help="Human questions as JSON lines: sentence, question, answer, ...")],
    out: Annotated[Path, typer.Option(help="File to write; it must not be there yet.")],
) -> None:
    """Keep the rows that can be asked about their passage alone, for `lift writer train`."""
    must_be_new(out)
    rows = list(rows_of(data.read_bytes()))
    chosen = [line for line, row in rows if can_be_asked(row)]
    out.write_bytes(b"".join(line + b"\n" for line in chosen))
    print(json.dumps({"rows": len(rows), "chosen": len(chosen)}))  # noqa: T201


if __name__ == "__main__":
    logs.configure(as_json=not sys.stderr.isatty(), role="teaching_rows")
    run(app)
