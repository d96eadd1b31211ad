"""Which steps a document gets."""

import math
from dataclasses import replace
from unittest.mock import MagicMock

import pytest

from lift.internal.v1.generator_pb2 import Coverage, GenerateResponse, Pair
from storage.journal import Journal
from storage.memory import MemoryObjects
from trainer.jobs.generation import Generation
from trainer.jobs.stream import PairStream
from trainer.jobs.training import SMALLEST_BATCH, later_epochs, train
from trainer.profiles import PROFILES, Hyperparameters


@pytest.mark.parametrize("pairs", [1, 3, 20, 44, 100, 250])
def test_a_short_document_gets_the_least_steps_in_smaller_batches_and_more_epochs(pairs):
    settings = Hyperparameters(epochs=6, batch_size=24, least_steps=60)
    size, epochs = later_epochs(pairs, settings)
    steps = math.ceil(pairs / size) * epochs
    assert min(SMALLEST_BATCH, pairs) <= size <= 24
    assert 60 <= steps < 60 + math.ceil(pairs / size) + epochs
    assert epochs == 5 or size == SMALLEST_BATCH


def test_a_longer_document_is_trained_on_as_its_profile_says():
    assert later_epochs(400, Hyperparameters(epochs=6, batch_size=24, least_steps=60)) == (24, 5)


@pytest.mark.parametrize("name", ["paper", "llama3-niah"])
def test_the_papers_profiles_leave_it_at_their_epochs(name):
    assert later_epochs(3, PROFILES[name]) == (PROFILES[name].batch_size, PROFILES[name].epochs - 1)


@pytest.mark.parametrize("pairs", [3, 1000])
def test_who_asks_for_one_epoch_gets_one(pairs):
    assert later_epochs(pairs, Hyperparameters(epochs=1, batch_size=24, least_steps=40)) == (24, 0)


class Recorded:
    """An adapter that only writes down what it is trained on, and a watch that lets it."""

    def __init__(self):
        self.steps, self.left, self.judged = [], [], []

    def step(self, examples, left=1.0):
        self.steps.append([example.tokens for example in examples])
        self.left.append(left)
        return 1.0

    def loss(self, examples):
        self.judged += [example.tokens for example in examples]
        return 1.0

    def check(self):
        pass

    def report(self, **_):
        pass

    def took(self, **_):
        pass


def streamed(pairs):
    """The pairs as a generator writes them."""
    call = MagicMock()
    call.__iter__.return_value = iter(
        [*(GenerateResponse(pair=pair) for pair in pairs), GenerateResponse(coverage=Coverage())]
    )
    return PairStream(Journal(MemoryObjects(), "acme", "job", token=1), lambda _: Generation(call))


def trained(encoder, pairs, settings):
    """What a recorded adapter is trained on, and what came out."""
    recorded = Recorded()
    with streamed(pairs) as stream:
        return recorded.steps, train(stream, encoder, recorded, settings, recorded)


def test_where_enough_others_ask_a_rules_question_is_learned_in_the_first_epoch_alone(encoder):
    def asked(kind, question, answer, sentence):
        return Pair(kind=kind, question=question, answer=answer, sentence_index=sentence)

    others = [asked(Pair.KIND_GROUNDED, f"Which year was it {n}?", "1802", 0) for n in range(2)]
    few = [
        asked(Pair.KIND_INVERTED, "Who built it?", "Ada", 0),
        asked(Pair.KIND_GROUNDED, "By whom?", "Ada", 0),
        asked(Pair.KIND_INVERTED, "When was the other built?", "1802", 1),
    ]
    needless = [
        asked(Pair.KIND_INVERTED, "When was it built?", "1802", 0),
        asked(Pair.KIND_CLOZE, "It was built when?", "1802", 0),
    ]
    settings = Hyperparameters(epochs=3, batch_size=16, held_out=0.0, enough_questions=2)
    (first, *later), training = trained(encoder, [*needless, *few, *others], settings)
    kept = {encoder.encode(pair.question, pair.answer).tokens for pair in (*few, *others)}
    assert len(first) == len(training.examples) == len(training.pairs) == 7
    assert [set(epoch) for epoch in later] == [kept, kept]
    (_, *all_of_them), _ = trained(encoder, [*needless, *few, *others], replace(settings, enough_questions=0))
    assert [len(epoch) for epoch in all_of_them] == [7, 7]


def test_a_question_has_the_answer_of_the_sentence_that_it_was_first_asked_about(encoder):
    pairs = [
        Pair(question="Who is the clerk?", answer="Ada Holm", sentence_index=0),
        Pair(question="Who  is the Clerk?", answer="Tom Reed", sentence_index=2),
        Pair(question="Who is the clerk?", answer="Ada", sentence_index=0),
        *(Pair(answer="They moved.", sentence_index=n, kind=Pair.KIND_RAW) for n in range(2)),
    ]
    _, training = trained(encoder, pairs, Hyperparameters(epochs=1, batch_size=8, held_out=0.0))
    assert [pair.answer for pair in training.pairs] == ["Ada Holm", "Ada", "They moved.", "They moved."]


def test_what_is_learned_in_order_is_learned_piece_by_piece_and_never_again(encoder):
    pieces = [f"Piece {number} of the text." for number in range(5)]
    pairs = [Pair(answer=piece, sentence_index=n, kind=Pair.KIND_RAW) for n, piece in enumerate(pieces)]
    settings = Hyperparameters(epochs=6, batch_size=2, least_steps=40, passes_in_order=3)
    steps, training = trained(encoder, pairs, settings)
    first, second, third = ([encoder.text(piece).tokens for piece in pieces[at : at + 2]] for at in (0, 2, 4))
    assert steps == [first] * 3 + [second] * 3 + [third] * 3
    assert (training.steps, training.losses) == (9, (1.0,))


@pytest.mark.parametrize(("decay", "of_the_epochs"), [(False, [1.0, 1.0, 1.0]), (True, [1.0, 1.0, 0.5])])
def test_a_second_round_is_at_half_the_rate_and_falling_whether_the_epochs_decay_or_not(encoder, decay, of_the_epochs):
    pairs = [Pair(question=f"Who was it {n}?", answer="Ada", sentence_index=0) for n in range(4)]
    settings = Hyperparameters(epochs=3, batch_size=8, held_out=0.0, second_round=1.0, decay=decay)
    recorded = Recorded()
    with streamed(pairs) as stream:
        train(stream, encoder, recorded, settings, recorded, again=lambda _: streamed([]))
    assert recorded.left[:3] == of_the_epochs
    assert [settings.learning_rate_at(9, left) for left in recorded.left[3:]] == pytest.approx(
        [settings.learning_rate * share for share in (3 / 6, 2 / 6, 1 / 6)]
    )


def test_what_the_epochs_left_out_neither_makes_a_sentence_weak_nor_is_learned_in_the_second_round(encoder):
    def of(kind, question):
        return Pair(kind=kind, question=question, answer="1802", sentence_index=0)

    needless = of(Pair.KIND_CLOZE, "It was built when?")
    once_more = [of(Pair.KIND_GROUNDED, "And the year?"), of(Pair.KIND_INVERTED, "When was it built?")]
    others = [of(Pair.KIND_GROUNDED, f"Which year was it {n}?") for n in range(2)]
    settings = Hyperparameters(epochs=2, batch_size=8, held_out=0.0, enough_questions=2, second_round=1.0)
    recorded = Recorded()
    with streamed([needless, *others]) as stream:
        train(stream, encoder, recorded, settings, recorded, again=lambda _: streamed(once_more))
    kept, added = (
        {encoder.encode(pair.question, pair.answer).tokens for pair in each} for each in (others, once_more[:1])
    )
    assert set(recorded.judged) == kept
    assert [set(step) for step in recorded.steps[1:]] == [kept, kept | added, kept | added]
