"""Turns documents and general questions into cases: what an adapter still knows that has nothing to do with it."""

from collections.abc import Sequence
from pathlib import Path

from evals.cases import Case
from evals.datasets.reading import case_of, is_questions
from lift.errors import InvalidOption

GENERAL = Path(__file__).parents[1] / "data" / "general.tsv"


def forgetting(files: Sequence[Path], questions: Path | None) -> tuple[Case, ...]:
    """The same general questions for each document; the shipped ones where no TSV is given, here or among the files.

    InvalidOption, DataMalformed.
    """
    texts = [file for file in files if not is_questions(file)]
    tables = [*filter(is_questions, files), *([questions] if questions else [])]
    if not texts:
        raise InvalidOption(option="data", value=str(tables[0]), expected="a document as well, to make an adapter of")
    return tuple(case_of(text, tables or [GENERAL]) for text in texts)
