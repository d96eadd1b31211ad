"""Turns documents and general questions into cases: what an adapter still knows that has nothing to do with it."""

from collections.abc import Sequence
from pathlib import Path

from evals.cases import Case, Document
from evals.datasets.reading import document_of, questions_of

GENERAL = Path(__file__).parents[1] / "data" / "general.tsv"


def forgetting(files: Sequence[Path], questions: Path | None) -> tuple[Case, ...]:
    """The same general questions for each document; the shipped ones where no TSV is given. DataMalformed."""
    return tuple(_case(document_of(file), questions or GENERAL) for file in files)


def _case(document: Document, questions: Path) -> Case:
    return Case(document=document, questions=questions_of(questions, document.text))
