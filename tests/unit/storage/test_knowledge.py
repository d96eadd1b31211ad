"""What is known of a revision's sentences comes back as it was written."""

import pytest

from storage import knowledge
from storage.knowledge import SentenceKnowledge
from storage.memory import MemoryObjects
from storage.records import RevisionRef

REF = RevisionRef(tenant="acme", adapter="handbook", digest="0" * 64)


@pytest.mark.parametrize("end_of_line", ["\u2028", "\u2029", "\u0085", "\n"])
def test_a_sentence_may_hold_any_end_of_line(end_of_line) -> None:
    objects = MemoryObjects()
    texts = (f"The mill{end_of_line}was built in 1748.", "It burned down in 1802.")
    known = tuple(SentenceKnowledge(document="doc", start=0, end=40, text=text) for text in texts)
    knowledge.write(objects, REF, known)
    assert knowledge.read(objects, REF) == known


def test_of_no_sentences_nothing_is_known() -> None:
    objects = MemoryObjects()
    assert knowledge.read(objects, REF) == ()
    knowledge.write(objects, REF, ())
    assert knowledge.read(objects, REF) == ()
