"""Reads data files: UTF-8, whole, with one clear error where a file is not what it should be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.cases import Document, Question, digest_of
from evals.errors import DataMalformed
from lift.errors import InvalidOption


def text_of(file: Path) -> str:
    """A file's text. InvalidOption: it is not there. DataMalformed: it is not UTF-8 or holds nothing."""
    if not file.is_file():
        raise InvalidOption(option="data", value=str(file), problem="a folder" if file.is_dir() else "no such file")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataMalformed(file=str(file), problem="not UTF-8 text") from error
    if not text.strip():
        raise DataMalformed(file=str(file), problem="it is empty")
    return text


def document_of(file: Path) -> Document:
    """A text file as a document under the file's name."""
    return Document(title=file.stem.replace("_", " ").replace("-", " "), text=text_of(file))


def json_of(file: Path) -> Any:
    """A JSON file's content. DataMalformed."""
    try:
        return json.loads(text_of(file))
    except json.JSONDecodeError as error:
        raise DataMalformed(file=str(file), line=error.lineno, problem=f"not JSON: {error.msg}") from error


def json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """The values of a JSONL file with the numbers of their lines. DataMalformed."""
    for number, line in enumerate(text_of(file).split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise DataMalformed(file=str(file), line=number, problem=f"not JSON: {error.msg}") from error


def questions_of(file: Path, about: str) -> tuple[Question, ...]:
    """The questions of a TSV file: a question, a tab, and keywords (`a|b`) of which one must stand in the answer.

    `about` is what the questions are asked of; their ids come from it. DataMalformed.
    """
    found = []
    for number, line in enumerate(text_of(file).splitlines(), start=1):
        if not line.strip():
            continue
        question, *rest = map(str.strip, line.split("\t"))
        keywords = tuple(filter(None, map(str.strip, rest[0].split("|")))) if len(rest) == 1 else ()
        if not question or not keywords:
            problem = "a question, one tab and keywords with | between them are expected"
            raise DataMalformed(file=str(file), line=number, problem=problem)
        id_ = digest_of(about, line)
        found.append(Question(id=id_, text=question, references=keywords, keywords=(keywords,)))
    return tuple(found)
