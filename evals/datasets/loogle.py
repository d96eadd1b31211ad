"""Turns LooGLE (Li et al., 2023; JSONL: input, title, qa_pairs as a Python literal or JSON) into cases."""

import ast
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.cases import Case, Document, Question, digest_of
from evals.datasets.reading import json_lines, note, stripped, title_of
from evals.errors import DataMalformed

SHORT, LONG = "ShortQA", "LongQA"
"""The two tasks; questions of the second have a type, in a file of their own."""


def loogle(files: Sequence[Path]) -> tuple[Case, ...]:
    """One case for each document; questions are labelled with their task, and with their category where data name it.

    Documents without questions, as those of LooGLE's summarization have none, are passed over. DataMalformed.
    """
    return tuple(case for file in files for case in _cases(file))


def _cases(file: Path) -> Iterator[Case]:
    read = [_case(file, line, content) for line, content in json_lines(file)]
    asked = [case for case in read if case.questions]
    if not asked:
        raise DataMalformed(file=str(file), problem="no questions")
    note(file, len(read) - len(asked), "documents without questions are passed over")
    yield from asked


def _case(file: Path, line: int, content: Any) -> Case:
    try:
        document = Document(title=stripped(content.get("title") or title_of(file)), text=stripped(content["input"]))
        pairs = _listed(content["qa_pairs"])
        task = LONG if any("type" in pair for pair in pairs) else SHORT
        questions = tuple(_question(number, pair, document, task) for number, pair in enumerate(pairs))
    except (KeyError, TypeError, AttributeError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise DataMalformed(file=str(file), line=line, problem="not LooGLE's input, title and qa_pairs") from error
    if not document.text:
        raise DataMalformed(file=str(file), line=line, problem="no document")
    return Case(document=document, questions=questions)


def _listed(pairs: Any) -> list[Any]:
    """The pairs of a document, which are "none" where there are none."""
    if not isinstance(pairs, str):
        return list(pairs or ())
    if pairs.strip().lower() in {"", "none", "null"}:
        return []
    try:
        return list(json.loads(pairs))
    except ValueError:
        return list(ast.literal_eval(pairs))


def _question(number: int, pair: Any, document: Document, task: str) -> Question:
    return Question(
        id=digest_of(document.text, str(number), pair["Q"]),
        text=stripped(pair["Q"]),
        references=(stripped(str(pair["A"])),),
        labels={"task": task, **({"category": stripped(pair["type"])} if pair.get("type") else {})},
    )
