"""What is known of a revision's sentences comes back as it was written."""

import pytest
from pydantic import ValidationError

from storage import keys, knowledge
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


def test_nothing_is_known_where_it_goes_while_it_is_read() -> None:
    class Going(MemoryObjects):
        def size(self, key: str) -> int | None:
            return 1  # it was there

    assert knowledge.read(Going(), REF) == ()


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"document": "doc", "start": 0, "end": 40, "text": "Ada Merrow opens',
        b'{"document": "doc", "start": "Ada Merrow opens", "end": 40, "text": "it."}',
        b'{"document": "doc", "start": 0, "end": 9, "text": "", "pairs": [{"question": "Ada Merrow?"}]}',
    ],
)
def test_what_is_damaged_is_not_quoted(damaged) -> None:
    objects = MemoryObjects()
    objects.put(keys.knowledge(REF), damaged)
    with pytest.raises(ValidationError) as failed:
        knowledge.read(objects, REF)
    assert "Merrow" not in str(failed.value)
