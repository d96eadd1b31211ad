"""Turns SQuAD 1.1 (Rajpurkar et al., 2016; JSON: data, paragraphs, qas, answers) into cases, and what 2.0 shares."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from evals.cases import Case, Document, Question, digest_of
from evals.datasets.reading import json_of, note, stripped, title_of
from evals.errors import DataMalformed

Paragraph: TypeAlias = tuple[str, tuple[Question, ...]]
"""A text and the questions about it."""


def squad(files: Sequence[Path], *, per_article: bool) -> tuple[Case, ...]:
    """One case for each paragraph, or one for each article with all its paragraphs as the document.

    Questions without an answer, as 2.0 has them, are passed over. DataMalformed.
    """
    return tuple(case for file in files for case in _cases(file, per_article))


def _cases(file: Path, per_article: bool) -> Iterator[Case]:
    asked, answered = 0, 0
    for title, paragraphs in articles(file):
        for text, questions in [_whole(paragraphs)] if per_article else paragraphs:
            known = tuple(question for question in questions if question.references)
            asked, answered = asked + len(questions), answered + len(known)
            yield Case(document=Document(title=title, text=text), questions=known)
    if not answered:
        raise DataMalformed(file=str(file), problem="no question with an answer")
    note(file, asked - answered, "questions without an answer are passed over")


def _whole(paragraphs: Sequence[Paragraph]) -> Paragraph:
    """An article's paragraphs as one."""
    texts, questions = zip(*paragraphs, strict=True)
    return "\n\n".join(texts), tuple(question for of_one in questions for question in of_one)


def articles(file: Path) -> Iterator[tuple[str, list[Paragraph]]]:
    """Titles, each with its paragraphs and the questions about them, also those without an answer. DataMalformed."""
    content = json_of(file)
    place = "data"
    try:
        for a, article in enumerate(content["data"]):
            place = f"data[{a}]"
            title = stripped(article.get("title") or title_of(file)).replace("_", " ")
            found = []
            for p, paragraph in enumerate(article["paragraphs"]):
                place = f"data[{a}].paragraphs[{p}]"
                text = stripped(paragraph["context"])
                found.append((text, tuple(_question(asked, title, text) for asked in paragraph["qas"])))
            if found:
                yield title, found
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataMalformed(file=str(file), place=place, problem="not SQuAD 1.1") from error


def _question(asked: Any, title: str, context: str) -> Question:
    text = stripped(asked["question"])
    answers = [] if asked.get("is_impossible") else asked["answers"]
    return Question(
        id=str(asked.get("id") or digest_of(context, text)),
        text=text,
        references=tuple(dict.fromkeys(filter(None, (stripped(answer["text"]) for answer in answers)))),
        labels={"article": title},
    )
