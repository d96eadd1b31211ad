"""Reads data files: UTF-8, whole, with one clear error where a file is not what it should be."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from evals.cases import Case, Document, Question, digest_of
from evals.errors import DataMalformed
from lift.errors import InvalidOption

HEADS = frozenset(
    (question, answer)
    for question in ("question", "questions")
    for answer in ("answer", "answers", "keyword", "keywords", "answer(s)", "keyword(s)")
)
"""First lines of TSV files that name their columns."""


def text_of(file: Path) -> str:
    """A file's text. InvalidOption: it is not there. DataMalformed: it is not UTF-8 or holds nothing."""
    if not file.is_file():
        raise InvalidOption(option="data", value=str(file), problem="a folder" if file.is_dir() else "no such file")
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except UnicodeDecodeError as error:
        raise DataMalformed(file=str(file), problem="not UTF-8 text") from error
    if not text.strip():
        raise DataMalformed(file=str(file), problem="it is empty")
    return text


def document_of(file: Path) -> Document:
    """A text file as a document under the file's name."""
    return Document(title=title_of(file), text=text_of(file))


def title_of(file: Path) -> str:
    """A file's name as a title."""
    return file.stem.replace("_", " ").replace("-", " ")


def json_of(file: Path) -> Any:
    """A JSON file's content. DataMalformed."""
    return _parsed(file, text_of(file))


def json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """The values of a JSONL file with the numbers of their lines. DataMalformed."""
    for number, line in enumerate(text_of(file).split("\n"), start=1):
        if line.strip():
            yield number, _parsed(file, line, number)


def _parsed(file: Path, text: str, first_line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataMalformed(file=str(file), line=line, problem=f"not JSON: {error.msg}") from error
    except RecursionError as error:
        raise DataMalformed(file=str(file), line=first_line, problem="JSON that is nested too deeply") from error


def stripped(value: Any) -> str:
    """A text out of JSON without the space around it. TypeError: it is no text. ValueError: none that can be sent."""
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # half of an escaped emoji is JSON
    return value.strip()


def note(file: Path, count: int, what: str) -> None:
    """Says on stderr how many things of a file are passed over, if any."""
    if count:
        Console(stderr=True).print(f"{file}: {count} {what}", markup=False, highlight=False, soft_wrap=True)


def is_questions(file: Path) -> bool:
    """Whether a file is a TSV of questions, and no document."""
    return file.suffix.lower() == ".tsv"


def questions_of(file: Path, about: str) -> tuple[Question, ...]:
    """The questions of a TSV file: a question, a tab, and keywords (`a|b`) of which one must stand in the answer.

    A first line of HEADS is none; columns behind the second are passed over. `about` is what the questions are asked
    of; their ids come from it. DataMalformed.
    """
    found, wide = [], 0
    lines = [(number, line) for number, line in enumerate(text_of(file).split("\n"), start=1) if line.strip()]
    for place, (number, line) in enumerate(lines):
        question, answer, *more = [*map(str.strip, line.split("\t")), ""]
        if place == 0 and (question.lower(), answer.lower()) in HEADS:
            continue
        keywords = tuple(filter(None, map(str.strip, answer.split("|"))))
        if not question or not keywords:
            problem = "a question, one tab and keywords with | between them are expected"
            raise DataMalformed(file=str(file), line=number, problem=problem)
        wide += any(more)
        id_ = digest_of(about, line)
        found.append(Question(id=id_, text=question, references=keywords, keywords=(keywords,)))
    if not found:
        raise DataMalformed(file=str(file), problem="no question")
    note(file, wide, "lines have a third column, which is passed over")
    return tuple(found)


def case_of(text: Path, tables: Sequence[Path]) -> Case:
    """A text file as a document, with the questions of TSV files about it. InvalidOption, DataMalformed."""
    document = document_of(text)
    questions = (question for table in tables for question in questions_of(table, document.text))
    return Case(document=document, questions=tuple(questions))
