"""What a revision was made from and knows of it, sentence by sentence: an object of JSON lines.

It is written after the revision, whose digest does not depend on it, and goes with the adapter.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from lift.errors import ObjectMissing
from lift.values import all_known
from storage import keys
from storage.objects import ObjectStore
from storage.records import RevisionRef


class AskedPair(BaseModel):
    """A question and its answer. `known`: whether the revision gave the answer; None where it was not asked."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    question: str
    answer: str
    held_out: bool = False
    known: bool | None = None


class SentenceKnowledge(BaseModel):
    """Characters `start` to `end` of a document's text, and what was written about them."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    document: str
    start: int
    end: int
    text: str
    pairs: tuple[AskedPair, ...] = ()

    @property
    def known(self) -> bool | None:
        """Whether every pair that was asked was answered right; None where none was asked."""
        return all_known(pair.known for pair in self.pairs)


def write(objects: ObjectStore, ref: RevisionRef, sentences: Sequence[SentenceKnowledge]) -> None:
    """StoreUnavailable."""
    lines = "\n".join(sentence.model_dump_json() for sentence in sentences)
    objects.put(keys.knowledge(ref), lines.encode())


def read(objects: ObjectStore, ref: RevisionRef) -> tuple[SentenceKnowledge, ...]:
    """In the documents' order; nothing where none was written. StoreUnavailable."""
    try:
        content = objects.get(keys.knowledge(ref))
    except ObjectMissing:
        return ()
    lines = filter(None, content.split(b"\n"))  # str.splitlines would cut at U+2028 within a sentence too
    return tuple(map(SentenceKnowledge.model_validate_json, lines))
