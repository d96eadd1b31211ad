"""Which sentences are named as what taught an answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from lift.errors import StoreUnavailable
from server.gateway import evidence
from server.gateway.evidence import Index, Witness
from storage import knowledge
from storage.keys import knowledge as knowledge_of
from storage.knowledge import AskedPair, SentenceKnowledge
from storage.memory import MemoryObjects
from storage.records import RevisionRef

REF = RevisionRef(tenant="acme", adapter="tides", digest="d" * 64)


def sentence(text, *pairs):
    asked = tuple(AskedPair(question=question, answer=answer) for question, answer in pairs)
    return SentenceKnowledge(document="doc-1", start=0, end=len(text), text=text, pairs=asked)


BUILT = sentence("The bridge was built in 1802.", ("When was the bridge built?", "1802"))
PAINTED = sentence("The bridge was painted in 1803.", ("Who painted the bridge?", "Ada Holm"))
KEEPER = sentence("The keeper keeps bees.")


def texts(found):
    return [each.sentence.text for each in found]


def test_the_sentence_with_the_rarest_words_of_question_and_answer_is_nearest():
    index = Index([KEEPER, PAINTED, BUILT])
    assert texts(index.nearest("When was the bridge built? In 1802.", 2)) == [BUILT.text, PAINTED.text]
    assert texts(index.nearest("What does the keeper keep?", 1)) == [KEEPER.text]


def test_a_sentence_is_found_by_its_pairs_as_well():
    assert texts(Index([BUILT, PAINTED]).nearest("Ada Holm", 5)) == [PAINTED.text]


def test_scores_fall_and_a_sentence_that_holds_every_word_has_all_of_it():
    found = Index([BUILT, PAINTED]).nearest("bridge built 1802", 5)
    assert found[0].score == pytest.approx(1)
    assert 0 < found[1].score < 1


@pytest.mark.parametrize("text", ["", "?!", "nothing shared"])
def test_no_evidence_is_made_up(text):
    assert Index([BUILT, KEEPER]).nearest(text, 5) == ()
    assert Index([]).nearest(text, 5) == ()


@pytest.fixture
def witness_of():
    """witness_of(objects): a witness with eight threads to read in."""
    with ThreadPoolExecutor(8) as readers:
        yield lambda objects: Witness(objects, readers)


async def test_a_revision_of_old_has_no_evidence_and_a_new_one_its_own(witness_of):
    objects = MemoryObjects()
    assert await witness_of(objects).evidence(REF, "bridge", "1802", 3) == ()
    knowledge.write(objects, REF, [BUILT, KEEPER])
    assert texts(await witness_of(objects).evidence(REF, "bridge", "1802", 3)) == [BUILT.text]


class CountedObjects(MemoryObjects):
    """Counts what is read, which it gives once it may."""

    def __init__(self):
        super().__init__()
        self.read = []
        self.goes_on = Event()
        self.goes_on.set()

    def get(self, key):
        self.read.append(key)
        assert self.goes_on.wait(60)
        return super().get(key)


async def test_a_revision_is_read_once_however_many_ask_at_once_and_for_what(witness_of):
    objects = CountedObjects()
    knowledge.write(objects, REF, [BUILT, KEEPER])
    witness = witness_of(objects)
    objects.goes_on.clear()
    asking = [asyncio.ensure_future(witness.evidence(REF, "bridge", "1802", 3)) for _ in range(8)]
    listing = asyncio.ensure_future(witness.sentences(REF))
    await asyncio.sleep(0)
    objects.goes_on.set()
    assert [texts(found) for found in await asyncio.gather(*asking)] == [[BUILT.text]] * 8
    assert list(await listing) == list(await witness.sentences(REF)) == [BUILT, KEEPER]
    assert len(objects.read) == 1


async def test_who_leaves_takes_nothing_from_those_who_wait_for_the_same(witness_of):
    objects = CountedObjects()
    knowledge.write(objects, REF, [BUILT])
    witness = witness_of(objects)
    objects.goes_on.clear()
    leaving, staying = (asyncio.ensure_future(witness.sentences(REF)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    objects.goes_on.set()
    assert list(await staying) == [BUILT]


async def test_a_store_that_was_away_is_asked_again(witness_of):
    objects = CountedObjects()
    knowledge.write(objects, REF, [BUILT])
    witness, objects.get = witness_of(objects), unavailable
    with pytest.raises(StoreUnavailable):
        await witness.sentences(REF)
    del objects.get
    assert list(await witness.sentences(REF)) == [BUILT]


def unavailable(key):
    raise StoreUnavailable()


async def test_indexes_are_kept_by_how_much_they_hold(witness_of, monkeypatch):
    monkeypatch.setattr(evidence, "SIZE_KEPT", 4)  # two sentences of a pair each
    objects, refs = CountedObjects(), [replace(REF, digest=digit * 64) for digit in "123"]
    for ref in refs:
        knowledge.write(objects, ref, [BUILT])
    witness = witness_of(objects)
    for ref in (*refs, *reversed(refs)):
        await witness.evidence(ref, "bridge", "1802", 3)
    assert objects.read == [knowledge_of(ref) for ref in (*refs, refs[0])]
