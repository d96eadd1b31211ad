"""Chooses what a question writer is taught on: `python -m generator.teaching_rows`.

People who wrote questions saw a whole article, and a writer sees a sentence and a little before it. A question that
speaks of anything else teaches it to invent. What the strategy would refuse is left out, and so is what is long. Texts
that were asked about for this purpose (`asked`) are taken as they are.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from generator import asked, matching
from generator.writers import TAUGHT_STRAY_WORDS
from lift import logs
from lift.commands import must_be_new, run
from lift.teaching import Row, rows_of

MAX_PASSAGE_WORDS = 90
MAX_ANSWER_WORDS = 10

app = typer.Typer(name="python -m generator.teaching_rows", add_completion=False, pretty_exceptions_enable=False)


def can_be_asked(row: Row) -> bool:
    """Whether the question of a row speaks of its passage alone, and reads by itself."""
    passage = " ".join(filter(None, row.passage))
    is_short = len(passage.split()) <= MAX_PASSAGE_WORDS and len(row.answer.split()) <= MAX_ANSWER_WORDS
    return is_short and matching.can_be_asked(row.question, row.answer, passage, TAUGHT_STRAY_WORDS)


@app.command()
def choose(
    data: Annotated[Path, typer.Option(help="Human questions as JSON lines: sentence, question, answer, ...")],
    out: Annotated[Path, typer.Option(help="File to write; it must not be there yet.")],
    documents: Annotated[Path | None, typer.Option(help="Folder of texts that were asked about, to add.")] = None,
) -> None:
    """Keep the rows that can be asked about their passage alone, for `lift writer train`."""
    must_be_new(out)
    rows = list(rows_of(data.read_bytes()))
    chosen = [line for line, row in rows if can_be_asked(row)]
    added = [row.model_dump_json().encode() for row in asked.rows_of_folder(documents)] if documents else []
    out.write_bytes(b"".join(line + b"\n" for line in (*chosen, *added)))
    print(json.dumps({"rows": len(rows), "chosen": len(chosen), "added": len(added)}))  # noqa: T201


if __name__ == "__main__":
    logs.configure(as_json=not sys.stderr.isatty(), role="teaching_rows")
    run(app)
