"""Turns a document and a TSV of the same name beside it into a case."""

from collections.abc import Sequence
from pathlib import Path

from evals.cases import Case
from evals.datasets.reading import document_of, questions_of
from lift.errors import InvalidOption


def own(files: Sequence[Path]) -> tuple[Case, ...]:
    """One case for each text file: `island.txt` is asked about with `island.tsv`. InvalidOption, DataMalformed."""
    return tuple(map(_case, files))


def _case(file: Path) -> Case:
    questions = file.with_suffix(".tsv")
    if file.suffix == ".tsv":
        raise InvalidOption(option="data", value=str(file), expected="the document; its questions are found beside it")
    document = document_of(file)
    return Case(document=document, questions=questions_of(questions, document.text))
