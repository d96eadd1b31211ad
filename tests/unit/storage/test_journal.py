"""What a job's journal gives back."""

import json

import pytest

from lift.errors import StoreUnavailable
from lift.kinds import Kind
from storage import keys
from storage.journal import Entry, Journal, Outcome, Pair
from storage.memory import MemoryObjects


def pair(sentence: int, question: str = "Who?") -> Pair:
    return Pair(question=question, answer="Ada — “the” first\u2028", sentence_index=sentence, kind=Kind.GROUNDED)


def done(sentence: int, pairs: int = 1, error: str = "") -> Outcome:
    return Outcome(sentence_index=sentence, pairs=pairs, error=error)


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


def journal(objects: MemoryObjects, token: int = 1, job: str = "job-1", tenant: str = "acme") -> Journal:
    return Journal(objects, tenant, job, token)


def test_an_empty_journal_has_nothing(objects: MemoryObjects) -> None:
    journal(objects).append([])
    assert journal(objects).read() == ()
    assert list(objects.list("")) == []


def test_what_was_written_about_finished_sentences_is_read_by_the_next_worker(objects: MemoryObjects) -> None:
    first = journal(objects)
    first.append([pair(3), pair(0), done(0)])
    first.append([pair(3, "When?"), done(3, 2)])
    assert journal(objects, 2).read() == (pair(0), done(0), pair(3), pair(3, "When?"), done(3, 2))


def test_a_pair_is_stored_as_plain_json_and_read_with_its_kind(objects: MemoryObjects) -> None:
    journal(objects).append([pair(3), done(3)])
    [stored] = objects.list("")
    line = json.loads(objects.get(stored).decode().splitlines()[0])
    assert line == {
        "entry": "pair",
        "question": "Who?",
        "answer": "Ada — “the” first\u2028",
        "sentence_index": 3,
        "kind": "grounded",
    }
    first = journal(objects, 2).read()[0]
    assert isinstance(first, Pair)
    assert first.kind is Kind.GROUNDED


def test_pairs_of_an_unfinished_sentence_are_left_out(objects: MemoryObjects) -> None:
    journal(objects).append([pair(0), done(0), pair(1)])
    assert journal(objects, 2).read() == (pair(0), done(0))


def test_a_half_written_sentence_leaves_nothing_once_it_is_written_anew(objects: MemoryObjects) -> None:
    journal(objects, 1).append([pair(1, "half")])
    journal(objects, 2).append([pair(1, "whole"), done(1)])
    assert journal(objects, 3).read() == (pair(1, "whole"), done(1))


def test_a_sentence_that_two_workers_finished_counts_once(objects: MemoryObjects) -> None:
    zombie, successor = journal(objects, 1), journal(objects, 2)
    zombie.append([pair(1, "zombie")])
    successor.append([pair(1, "successor"), done(1)])
    zombie.append([done(1)])
    assert journal(objects, 3).read() == (pair(1, "zombie"), done(1))


def test_more_about_a_sentence_is_kept_where_the_worker_that_finished_it_wrote_it(objects: MemoryObjects) -> None:
    first, second = journal(objects, 1), journal(objects, 2)
    first.append([pair(0), done(0), pair(1), done(1)])
    first.append([pair(0, "Who else?"), done(0)])
    second.append([pair(1, "Who else?"), done(1)])
    assert journal(objects, 3).read() == (pair(0), pair(0, "Who else?"), done(0), pair(1), done(1))


def test_workers_with_different_tokens_never_write_over_each_other(objects: MemoryObjects) -> None:
    zombie, successor = journal(objects, 9), journal(objects, 10)
    for sentence in range(3):
        zombie.append([pair(sentence), done(sentence)])
        successor.append([pair(sentence + 3), done(sentence + 3)])
    read = journal(objects, 11).read()
    assert [entry.sentence_index for entry in read if isinstance(entry, Outcome)] == list(range(6))


def test_a_worker_that_opens_its_journal_again_goes_on_after_its_chunks(objects: MemoryObjects) -> None:
    journal(objects).append([pair(0), done(0)])
    journal(objects).append([pair(1), done(1)])
    assert len(journal(objects).read()) == 4


def test_a_pair_that_was_sent_twice_is_there_once(objects: MemoryObjects) -> None:
    journal(objects).append([pair(0), pair(0), done(0, 2)])
    assert journal(objects).read() == (pair(0), done(0, 2))


def test_a_sentence_that_brought_nothing_but_an_error_is_tried_again(objects: MemoryObjects) -> None:
    journal(objects, 1).append(
        [done(0, 0, "the endpoint is down"), done(1, 0), pair(2), done(2, 1, "one reply was cut")]
    )
    assert journal(objects, 2).read() == (done(1, 0), pair(2), done(2, 1, "one reply was cut"))
    journal(objects, 2).append([pair(0), done(0)])
    assert done(0) in journal(objects, 3).read()


def test_a_journal_is_read_in_the_order_it_was_written_however_long_it_is(objects: MemoryObjects) -> None:
    long = journal(objects)
    entries: list[Entry] = []
    for sentence in range(120):
        chunk = [pair(sentence), done(sentence)]
        long.append(chunk)
        entries += chunk
    assert journal(objects).read() == tuple(entries)


def test_journals_of_other_jobs_and_tenants_are_not_read(objects: MemoryObjects) -> None:
    journal(objects, job="job-2").append([pair(0), done(0)])
    journal(objects, tenant="rival").append([pair(0), done(0)])
    assert journal(objects).read() == ()


def test_a_journal_lies_below_its_prefix(objects: MemoryObjects) -> None:
    journal(objects).append([pair(0)])
    assert all(key.startswith(keys.journal("acme", "job-1")) for key in objects.list(""))


def test_a_chunk_that_could_not_be_stored_is_not_counted() -> None:
    class Down(MemoryObjects):
        down = True

        def put(self, key: str, data: bytes) -> None:
            if self.down:
                raise StoreUnavailable()
            super().put(key, data)

    objects = Down()
    written = journal(objects)
    with pytest.raises(StoreUnavailable):
        written.append([pair(0), done(0)])
    objects.down = False
    written.append([pair(0), done(0)])
    assert journal(objects).read() == (pair(0), done(0))
