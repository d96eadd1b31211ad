"""What a benchmark comes to: cases, each of them one document and the questions about it."""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text to be learned."""

    title: str
    text: str

    @property
    def digest(self) -> str:
        """What tells its text apart from others."""
        return digest_of(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question and what a right answer is.

    references: answers by people, of which the best match counts. keywords: groups, of each of which one must stand in
    the answer; where there are none, one of the references must. labels: what figures are grouped by, such as a depth.
    """

    id: str
    text: str
    references: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One document with its questions."""

    document: Document
    questions: tuple[Question, ...]


def digest_of(*parts: str) -> str:
    """Sixteen hexadecimal digits that stand for the texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def merged(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The cases with one for each document, however many files ask about it, and each question once.

    An id that another question has already becomes one of the question's own.
    """
    documents: dict[str, Document] = {}
    questions: dict[str, dict[str, Question]] = {}
    known: dict[str, tuple[str, str]] = {}
    for case in cases:
        digest = case.document.digest
        documents.setdefault(digest, case.document)
        for question in case.questions:
            about = (digest, question.text)
            id_ = question.id if known.setdefault(question.id, about) == about else digest_of(question.id, *about)
            questions.setdefault(digest, {})[id_] = replace(question, id=id_)
    return tuple(
        Case(document=documents[digest], questions=tuple(questions.get(digest, {}).values())) for digest in documents
    )


def limited(cases: Sequence[Case], limit: int | None, shuffle: int | None = None) -> tuple[Case, ...]:
    """The first `limit` questions with their documents, which come in a random order where `shuffle` is its seed."""
    ordered = list(cases)
    if shuffle is not None:
        random.Random(shuffle).shuffle(ordered)  # noqa: S311 - a sample, no secret
    return tuple(case for case in _first(ordered, limit) if case.questions)


def _first(cases: Iterable[Case], limit: int | None) -> Iterable[Case]:
    left = limit
    for case in cases:
        if left is None:
            yield case
        elif left > 0:
            yield replace(case, questions=case.questions[:left])
            left -= len(case.questions)
