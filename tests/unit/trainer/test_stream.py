"""When pairs are handed out."""

import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest

from lift.errors import EndpointUnavailable, TimedOut
from lift.internal.v1.generator_pb2 import Coverage, GenerateResponse, Plan, Sentence
from storage.journal import Journal, Outcome, Pair
from storage.memory import MemoryObjects
from trainer.jobs.stream import PairStream

KEPT = Pair(question="Who?", answer="Ada", sentence_index=0)
PLAN = GenerateResponse(plan=Plan(sentences=[Sentence(document=0, start=0, end=4)]))
REPORT = GenerateResponse(coverage=Coverage())


class Said:
    """A generator's call that says what is put into it, and ends behind the report or with an error."""

    def __init__(self):
        self._events = SimpleQueue()
        self.say = self._events.put

    def __iter__(self):
        while True:
            event = self._events.get()
            if isinstance(event, Exception):
                raise event
            yield event
            if event == REPORT:
                return

    def cancel(self):
        self.say(EndpointUnavailable())


@pytest.fixture
def said():
    return Said()


@pytest.fixture
def resumed(said):
    """The stream of a job whose only pair an earlier attempt has journaled."""
    journal = Journal(MemoryObjects(), "acme", "job", token=1)
    journal.append([KEPT, Outcome(sentence_index=0, pairs=1)])
    with PairStream(journal, lambda _: said) as stream:
        yield stream


def test_the_journals_pairs_wait_until_it_is_known_where_their_sentences_stand(said, resumed):
    waits = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(resumed.take, 1, waits.set)
        assert waits.wait(60)
        assert not taken.done()
        said.say(PLAN)
        assert taken.result(60) == [KEPT]
    assert resumed.sentences == 1


def test_without_a_plan_the_journals_pairs_come_once_the_stream_has_ended(said, resumed):
    said.say(REPORT)
    assert resumed.take(1, lambda: None) == [KEPT]
    assert resumed.exhausted


def test_an_error_in_place_of_the_plan_is_raised(said, resumed):
    said.say(EndpointUnavailable())
    with pytest.raises(EndpointUnavailable):
        resumed.take(1, lambda: None)


def test_a_generator_that_never_says_its_plan_is_given_up(resumed, monkeypatch):
    monkeypatch.setattr("trainer.jobs.stream.STALL_SECONDS", 0.0)
    with pytest.raises(TimedOut):
        resumed.take(1, lambda: None)
