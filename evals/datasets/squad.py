"""Turns SQuAD 1.1 (Rajpurkar et al., 2016; JSON: data, paragraphs, qas, answers) into cases."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.cases import Case, Document, Question
from evals.datasets.reading import json_of
from evals.errors import DataMalformed


def squad(files: Sequence[Path], *, per_article: bool) -> tuple[Case, ...]:
    """One case for each paragraph, or one for each article with all its paragraphs as the document. DataMalformed."""
    return tuple(case for file in files for case in _cases(file, per_article))


def _cases(file: Path, per_article: bool) -> Iterator[Case]:
    for title, paragraphs in articles(file):
        if per_article:
            texts, questions = zip(*paragraphs, strict=True)
            document = Document(title=title, text="\n\n".join(texts))
            yield Case(document=document, questions=tuple(question for asked in questions for question in asked))
        else:
            for text, asked in paragraphs:
                yield Case(document=Document(title=title, text=text), questions=asked)


def articles(file: Path) -> Iterator[tuple[str, list[tuple[str, tuple[Question, ...]]]]]:
    """Titles, each with its paragraphs and the questions about them. DataMalformed."""
    content = json_of(file)
    place = "data"
    try:
        for a, article in enumerate(content["data"]):
            title = article["title"].replace("_", " ")
            found = []
            for p, paragraph in enumerate(article["paragraphs"]):
                place = f"data[{a}].paragraphs[{p}]"
                questions = tuple(_question(asked, title) for asked in paragraph["qas"])
                found.append((str(paragraph["context"]).strip(), questions))
            if found:
                yield title, found
    except (KeyError, TypeError, AttributeError) as error:
        raise DataMalformed(file=str(file), place=place, problem="not SQuAD 1.1") from error


def _question(asked: Any, title: str) -> Question:
    references = tuple(dict.fromkeys(answer["text"] for answer in asked["answers"]))
    if not references:
        raise KeyError("answers")  # SQuAD 2.0's unanswerable questions are no part of 1.1
    return Question(
        id=str(asked["id"]), text=asked["question"].strip(), references=references, labels={"article": title}
    )
