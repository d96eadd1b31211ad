"""What a revision knows: which questions it is asked, what counts as right, and what comes of it."""

import pytest

from lift.errors import EngineUnavailable, LeaseLost
from lift.scoring import contains, f1, same_answer
from lift.values import AdapterState, JobState
from storage import knowledge
from storage.journal import Pair
from storage.knowledge import SentenceKnowledge
from trainer.jobs.examination import Material, general_questions, in_order_of_asking, with_pairs
from trainer.jobs.training import Training
from trainer.testing import ScriptedEngine

GENERAL = {asked.question: asked.accepted[0] for asked in general_questions()}


def pair(sentence, number=0):
    return Pair(question=f"{sentence}.{number}?", answer=f"fact {sentence}", sentence_index=sentence, kind="grounded")


@pytest.fixture
def engine(bench, start):
    bench.trainer.warm_up()
    return start("one", ScriptedEngine(), bench.trainer._workshop.base.revision)


def revision_of(bench, job):
    bench.trainer.run(job.id)
    return bench.catalogue.revisions.list("acme", job.adapter).items[0]


def learned(lines):
    """The scripted generator's questions, and the line as their answer."""
    asked = ("What is fact {}?", "Fact {} is what?")
    return {question.format(n): f"It is {line}." for n, line in enumerate(lines) for question in asked}


def test_held_out_pairs_are_asked_first_then_the_sentences_take_turns():
    training = Training(
        pairs=(pair(0), pair(0, 1), pair(0, 2), pair(1), pair(2), pair(2, 1)),
        held_out=(pair(1, 9),),
        steps=1,
        examples=(),
        losses=(1.0,),
        data_sha256="",
    )
    asked = [asked.question for asked in in_order_of_asking(training)]
    assert asked == ["1.9?", "0.0?", "1.0?", "2.0?", "0.1?", "2.1?", "0.2?"]


def test_raw_text_is_no_question():
    raw = Pair(question="", answer="One. Two.", sentence_index=0, kind="raw")
    training = Training(pairs=(raw, pair(0)), held_out=(), examples=(), steps=1, losses=(1.0,), data_sha256="")
    assert in_order_of_asking(training) == [pair(0)]
    place = SentenceKnowledge(document="doc-1", start=0, end=1, text="One.")
    known = with_pairs(Material(sentences=(place,), training=training), {pair(0): True})
    assert [asked.question for asked in known[0].pairs] == ["0.0?"]


def test_a_revision_carries_what_it_knows(bench, engine):
    engine.replies = learned(["one", "two", "three"]) | GENERAL
    engine.base_replies = GENERAL
    revision = revision_of(bench, bench.job(held_out=0.25))
    assert (revision.pairs, len(revision.losses)) == (6, 2)
    assert revision.losses[-1] == revision.final_loss
    assert (revision.coverage, revision.retention) == (0.75, 1.0)
    sentences = knowledge.read(bench.objects, revision.ref)
    assert [(sentence.text, sentence.known) for sentence in sentences] == [
        ("one", True),
        ("two", True),
        ("three", True),
        ("four", False),
    ]
    held_out = [pair for sentence in sentences for pair in sentence.pairs if pair.held_out]
    assert len(held_out) == 2
    assert revision.recall == sum(pair.known for pair in held_out) / 2


def test_no_fact_is_given_up_to_measure_recall(bench, engine):
    revision = revision_of(bench, bench.job(held_out=0.5))
    for sentence in knowledge.read(bench.objects, revision.ref):
        assert [pair.held_out for pair in sentence.pairs] == [False, True]


def test_forgetting_is_measured_against_what_the_base_model_knows(bench, engine):
    half = dict(list(GENERAL.items())[::2])
    engine.base_replies = GENERAL
    engine.replies = half
    assert revision_of(bench, bench.job()).retention == len(half) / len(GENERAL)


def test_a_base_model_that_knows_nothing_has_nothing_to_forget(bench, engine):
    assert revision_of(bench, bench.job()).retention is None


def test_no_more_pairs_are_asked_than_the_setting_says(bench, engine):
    thrifty = bench.settings.trainer.model_copy(update={"asked_pairs": 3})
    bench.settings = bench.settings.model_copy(update={"trainer": thrifty})
    bench.trainer = bench.worker("thrifty")
    revision = revision_of(bench, bench.job())
    assert sorted(engine.asked) == ["What is fact 0?", "What is fact 1?", "What is fact 2?"]
    assert revision.coverage == 0


def test_a_revision_below_the_threshold_is_kept_and_does_not_become_current(bench, engine):
    engine.replies = {}
    job = bench.job(held_out=0.25, min_recall=0.5)
    revision = revision_of(bench, job)
    failed = bench.state(job)
    assert (failed.state, failed.revision) == (JobState.FAILED, revision.ref.digest)
    assert "min_recall" in failed.reason
    adapter = bench.catalogue.adapters.get("acme", job.adapter)
    assert (adapter.state, adapter.current_revision) == (AdapterState.FAILED, None)
    back = bench.catalogue.adapters.rollback("acme", job.adapter, revision.ref.digest)
    assert (back.state, back.current_revision) == (AdapterState.READY, revision.ref.digest)


def test_a_revision_above_the_threshold_becomes_current(bench, engine):
    engine.replies = learned(["one", "two", "three", "four"])
    job = bench.job(held_out=0.25, min_recall=0.5)
    assert revision_of(bench, job).recall == 1
    assert bench.state(job).state is JobState.SUCCEEDED


def test_an_engine_that_goes_away_costs_the_figures_and_not_the_revision(bench, engine):
    engine.answer_error = EngineUnavailable()
    job = bench.job(held_out=0.25, min_recall=0.5)
    revision = revision_of(bench, job)
    assert bench.state(job).state is JobState.SUCCEEDED
    assert (revision.recall, revision.coverage, revision.retention) == (None, None, None)
    assert [len(sentence.pairs) for sentence in knowledge.read(bench.objects, revision.ref)] == [2, 2, 2, 2]


def test_a_lost_lease_ends_the_examination(bench, engine):
    job = bench.job()
    revision = revision_of(bench, job)
    node = bench.catalogue.nodes.list()[0]

    def lost():
        raise LeaseLost(job=job.id)

    with pytest.raises(LeaseLost):
        bench.trainer._examiner.examine(node, revision, None, lost)


@pytest.mark.parametrize(
    ("reply", "wanted", "same"),
    [
        ("It was built in 1802.", "1802", True),
        ("Ada", "by the engineer Ada Holm", False),
        ("Ada Holm, the engineer", "the engineer Ada Holm", True),
        ("in 1803", "in 1802", False),
        ("180", "1802", False),
        ("", "1802", False),
        ("1802", "", False),
    ],
)
def test_a_reply_is_right_where_it_holds_the_answer_or_most_of_its_words(reply, wanted, same):
    assert same_answer(reply, wanted) is same


def test_f1_is_as_squad_has_it():
    assert f1("the old mill", "an old bridge") == pytest.approx(0.5)
    assert f1("", "") == 1
    assert f1("the old mill", "") == 0
    assert contains("the Old Mill.", "old mill")
    assert not contains("old windmill", "mill")
