"""Turns documents and TSVs of questions into cases, by their names where several are given."""

from collections.abc import Sequence
from pathlib import Path

from evals.cases import Case
from evals.datasets.reading import case_of, is_questions
from lift.errors import InvalidOption


def own(files: Sequence[Path]) -> tuple[Case, ...]:
    """One case for each text: `island.txt` is asked about with `island.tsv` beside it, whichever of them is named.

    A TSV of another name asks about the text that is given with it. InvalidOption, DataMalformed.
    """
    texts = dict.fromkeys(file for file in files if not is_questions(file))
    asked: dict[Path, list[Path]] = {text: [] for text in texts}
    for table in dict.fromkeys(filter(is_questions, files)):
        asked.setdefault(_text_of(table, list(texts)), []).append(table)
    return tuple(case_of(text, tables or [text.with_suffix(".tsv")]) for text, tables in asked.items())


def _text_of(table: Path, texts: Sequence[Path]) -> Path:
    """The text that a TSV asks about: of its name, or the only one."""
    named = [text for text in texts if text.stem == table.stem]
    beside = table.with_suffix(".txt")
    if named:
        return named[0]
    if beside.is_file():
        return beside
    if len(texts) == 1:
        return texts[0]
    raise InvalidOption(
        option="data", value=str(table), expected=f"its document as well, or beside it as {beside.name}"
    )
