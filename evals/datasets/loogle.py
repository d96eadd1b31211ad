"""Turns LooGLE (Li et al., 2023; JSONL: input, title, qa_pairs as a Python literal) into cases."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.cases import Case, Document, Question, digest_of
from evals.datasets.reading import json_lines
from evals.errors import DataMalformed


def loogle(files: Sequence[Path]) -> tuple[Case, ...]:
    """One case for each document; questions are labelled with their category where the data name it. DataMalformed."""
    return tuple(_case(file, line, content) for file in files for line, content in json_lines(file))


def _case(file: Path, line: int, content: Any) -> Case:
    try:
        document = Document(title=content["title"], text=content["input"].strip())
        pairs = content["qa_pairs"]
        listed = ast.literal_eval(pairs) if isinstance(pairs, str) else pairs
        questions = tuple(_question(number, pair, document) for number, pair in enumerate(listed))
    except (KeyError, TypeError, AttributeError, ValueError, SyntaxError) as error:
        raise DataMalformed(file=str(file), line=line, problem="not LooGLE's input, title and qa_pairs") from error
    if not document.text or not questions:
        raise DataMalformed(file=str(file), line=line, problem="no document, or no questions about it")
    return Case(document=document, questions=questions)


def _question(number: int, pair: Any, document: Document) -> Question:
    return Question(
        id=digest_of(document.text, str(number), pair["Q"]),
        text=pair["Q"].strip(),
        references=(str(pair["A"]).strip(),),
        labels={"category": pair["type"]} if "type" in pair else {},
    )
