import contextlib
import math
import threading
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from lift.errors import CatalogueUnavailable, EndpointUnavailable, GeneratorUnavailable, InternalError
from lift.values import AdapterState, JobKind, JobState, Stage
from storage.journal import Journal, Outcome, Pair
from storage.revisions import fetch
from storage.scope import Scope
from trainer.examples.beside import Beside
from trainer.jobs.generation import Generator
from trainer.jobs.second_round import weak_sentences
from trainer.jobs.teacher import Teacher
from trainer.learners.peft_learner import PeftLearner
from trainer.retention import own_answers, unrelated_questions
from trainer.testing import ScriptedGenerator, serving


def asked(request, of=4):
    """The sentences that a request to the generator asks for."""
    return [index for index in range(of) if index not in request.done_sentences]


def test_a_job_becomes_the_adapters_current_revision(bench):
    job = bench.job()
    bench.trainer.run(job.id)
    done = bench.state(job)
    assert done.state is JobState.SUCCEEDED, done.reason
    adapter = bench.catalogue.adapters.get("acme", job.adapter)
    assert (adapter.state, adapter.current_revision) == (AdapterState.READY, done.revision)
    assert (done.progress.sentences, done.progress.sentences_done, done.progress.pairs) == (4, 4, 8)
    assert (done.progress.step, done.progress.steps, done.progress.stage) == (4, 4, Stage.MEASURE)


def test_a_job_says_where_its_seconds_went(bench):
    job = bench.job()
    bench.trainer.run(job.id)
    seconds = bench.state(job).progress.seconds
    stages = {"queue", "extract", "warm_up", "first_pair", "first_step", "generate", "train", "publish", "load"}
    assert seconds.keys() == {*stages, "measure", "starved", "total"}
    assert seconds["first_pair"] <= seconds["first_step"]
    assert 0 <= seconds["starved"] <= seconds["train"]
    assert seconds["total"] >= seconds["queue"] + seconds["extract"] + seconds["publish"] + seconds["load"]


def test_the_manifest_says_what_the_revision_was_trained_on_and_how(bench):
    job = bench.job(learning_rate=1e-3)
    bench.trainer.run(job.id)
    ref = bench.catalogue.revisions.list("acme", job.adapter).items[0].ref
    manifest = bench.manifest(ref)
    assert (manifest.rank, manifest.sentences, manifest.pairs, manifest.template.name) == (8, 4, 8, "chatml")
    assert manifest.hyperparameters["learning_rate"] == 1e-3
    assert manifest.base_model_revision == bench.catalogue.revisions.get(ref).base_model_revision


def test_a_job_publishes_a_smaller_rank_than_the_trained_one_where_that_is_asked_for(bench):
    bench.settings = bench.settings.model_copy(
        update={"model": bench.settings.model.model_copy(update={"max_lora_rank": 32})}
    )
    bench.trainer = bench.worker("worker-2")
    job = bench.job(rank=32, shrink_epsilon=10.0)
    bench.trainer.run(job.id)
    revision = bench.catalogue.revisions.list("acme", job.adapter).items[0]
    manifest = bench.manifest(revision.ref)
    assert (revision.rank, manifest.rank, manifest.alpha) == (8, 8, 64)
    assert (manifest.hyperparameters["rank"], manifest.hyperparameters["alpha"]) == (32, 256)


def test_a_revision_says_what_it_is_about_where_that_is_asked_for(bench, monkeypatch, tmp_path):
    monkeypatch.setattr("trainer.jobs.scope.LEAST_QUESTIONS", 4)
    jobs = {scope: bench.job(scope=scope, content=f"{scope}\ntwo\nthree\nfour\n".encode()) for scope in (0.5, 0.0)}
    folders = {}
    for scope, job in jobs.items():
        bench.trainer.run(job.id)
        ref = bench.catalogue.revisions.list("acme", job.adapter).items[0].ref
        folders[scope] = fetch(bench.objects, ref, tmp_path, 1 << 30)
    assert Scope.of_folder(folders[0.0]) is None
    about = Scope.of_folder(folders[0.5])
    tokenizer = bench.trainer._workshop.base.tokenizer
    assert about is not None
    asked = [
        about.holds(tokenizer(question, add_special_tokens=False)["input_ids"]) for question in unrelated_questions()
    ]
    assert sum(asked) < len(asked) / 2


def test_a_second_copy_of_a_wake_up_does_nothing(bench):
    job = bench.job()
    bench.trainer.run(job.id)
    bench.trainer.run(job.id)
    assert bench.state(job).attempts == 1
    assert len(bench.generator.requests) == 1


def test_training_starts_before_the_last_question_is_written(bench, wait_until):
    bench.generator.hold_before(3)
    job = bench.job()
    with bench.running(job):
        wait_until(lambda: bench.state(job).progress.step >= 1)
        wait_until(lambda: bench.state(job).progress.sentences_done == 3)
        assert bench.state(job).progress.stage is Stage.GENERATE
    assert bench.state(job).state is JobState.SUCCEEDED


def test_a_job_waits_while_the_endpoint_is_down_and_says_so(bench, wait_until):
    bench.generator.go_down()
    job = bench.job()
    bench.trainer.run(job.id)
    waiting = bench.state(job)
    assert waiting.state is JobState.WAITING
    assert waiting.reason == str(EndpointUnavailable())
    bench.generator.failure = None
    wait_until(lambda: job.id in bench.catalogue.leases.due(JobKind.TRAIN, 10, 0))
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED


def test_an_outage_is_no_crash_however_often_it_comes(bench, wait_until):
    bench.generator.go_down()
    job = bench.job()
    for attempt in range(1, bench.settings.trainer.max_attempts + 2):
        wait_until(lambda: job.id in bench.catalogue.leases.due(JobKind.TRAIN, 10, 0))
        bench.trainer.run(job.id)
        assert (bench.state(job).state, bench.state(job).attempts) == (JobState.WAITING, attempt)


@pytest.mark.parametrize("method", ["leases.publish", "nodes.list"])
def test_a_catalogue_that_is_away_for_a_moment_costs_no_training(bench, wait_until, method):
    nouns, method = method.split(".")
    outage = bench.outage_at(getattr(bench.catalogue, nouns), method)
    job = bench.job()
    with bench.running(job):
        wait_until(lambda: outage.refused > 1)
        outage.end()
    done = bench.state(job)
    assert (done.state, done.attempts, done.crashes) == (JobState.SUCCEEDED, 1, 0)
    assert len(bench.generator.requests) == 1


def test_a_job_that_cannot_read_the_catalogue_waits_once_that_can_be_written_down(bench, wait_until):
    outage = bench.outage_at(bench.catalogue.documents, "get")
    job = bench.job()
    with bench.running(job):
        wait_until(lambda: outage.refused > 2)
        outage.end()
    waiting = bench.state(job)
    assert (waiting.state, waiting.crashes, waiting.reason) == (JobState.WAITING, 0, str(CatalogueUnavailable()))


def test_an_outage_that_lasts_longer_than_the_lease_costs_no_training(bench, wait_until):
    bench.settings = bench.settings.model_copy(
        update={"trainer": bench.settings.trainer.model_copy(update={"lease_seconds": 0.3})}
    )
    bench.trainer = bench.worker("patient")
    bench.generator.hold_before(3)
    job = bench.job()
    outage = bench.outage()
    with bench.running(job):
        wait_until(lambda: bench.state(job).progress.step >= 1)
        outage.begin()
        wait_until(lambda: outage.refused > 6)  # heartbeats, three a lease
        outage.end()
    done = bench.state(job)
    assert (done.state, done.attempts, done.crashes) == (JobState.SUCCEEDED, 1, 0)


def test_a_revision_whose_commit_nobody_answered_for_is_published_once(bench):
    publish, commits = bench.catalogue.leases.publish, []

    def unanswered(lease, revision):
        publish(lease, revision)
        commits.append(revision)
        if len(commits) == 1:
            raise CatalogueUnavailable

    bench.catalogue.leases.publish = unanswered
    job = bench.job()
    with capture_logs() as logs:
        bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED
    assert len(commits) == 2
    assert len(bench.catalogue.revisions.list("acme", job.adapter).items) == 1
    assert "job_succeeded" in [line["event"] for line in logs]


def test_a_trainer_that_is_stopped_does_not_wait_for_the_catalogue(bench, wait_until):
    outage = bench.outage_at(bench.catalogue.leases, "publish")
    job = bench.job()
    with bench.running(job) as thread:
        wait_until(lambda: outage.refused > 1)
        bench.stopping.set()
        wait_until(lambda: not thread.is_alive())
    outage.end()
    assert bench.state(job).state is JobState.RUNNING


def test_a_job_that_is_cancelled_at_the_last_moment_is_not_published(bench):
    job = bench.job()
    publish = bench.catalogue.leases.publish

    def too_late(lease, revision):
        bench.catalogue.jobs.request_cancel("acme", job.id)
        publish(lease, revision)

    bench.catalogue.leases.publish = too_late
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.CANCELLED
    assert bench.catalogue.revisions.list("acme", job.adapter).items == ()


def test_the_pause_doubles_with_each_attempt(bench, wait_until):
    bench.generator.go_down()
    job = bench.job()
    pauses = []
    for _ in range(2):
        wait_until(lambda: job.id in bench.catalogue.leases.due(JobKind.TRAIN, 10, 0))
        begun = datetime.now(UTC)
        bench.trainer.run(job.id)
        pauses.append((bench.state(job).next_attempt_at - begun).total_seconds())
    assert pauses[0] >= bench.settings.trainer.retry_seconds
    assert pauses[1] >= 2 * bench.settings.trainer.retry_seconds


def test_nothing_that_was_written_is_written_again_after_the_stream_broke(bench, wait_until):
    bench.generator.go_down(before_sentence=2)
    job = bench.job()
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.WAITING
    bench.generator.failure = None
    wait_until(lambda: job.id in bench.catalogue.leases.due(JobKind.TRAIN, 10, 0))
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED
    assert [asked(request) for request in bench.generator.requests] == [[0, 1, 2, 3], [2, 3]]
    assert sum(isinstance(entry, Pair) for entry in bench.journal(job)) == 8


def test_a_job_waits_where_the_generator_is_stopped_under_it(bench, wait_until):
    generator = ScriptedGenerator("node-token")
    generator.hold_before(2)
    with contextlib.ExitStack() as stack:
        bench.client = Generator(stack.enter_context(serving(generator)), "node-token")
        bench.trainer = bench.worker("worker-2")
        job = bench.job()
        with bench.running(job):
            wait_until(lambda: bench.state(job).progress.sentences_done == 2)
            stack.close()
    bench.client.close()
    assert (bench.state(job).state, bench.state(job).reason) == (JobState.WAITING, str(GeneratorUnavailable()))


def test_what_nobody_foresaw_leaves_the_lease_to_run_out_and_counts_as_a_crash(bench, wait_until):
    bench.settings = bench.settings.model_copy(
        update={"trainer": bench.settings.trainer.model_copy(update={"lease_seconds": 0.5})}
    )
    bench.trainer = bench.worker("unlucky")
    bench.generator.failure = InternalError()
    job = bench.job()
    with pytest.raises(InternalError):
        bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.RUNNING
    bench.generator.failure = None
    wait_until(lambda: job.id in bench.catalogue.leases.due(JobKind.TRAIN, 10, 0))
    bench.trainer.run(job.id)
    assert (bench.state(job).state, bench.state(job).crashes) == (JobState.SUCCEEDED, 1)


def test_pairs_of_an_unfinished_sentence_are_not_trained_on_twice(bench):
    job = bench.job()
    half = Pair(question="What is fact 0?", answer="one", sentence_index=0)
    other = Pair(question="What is fact 1?", answer="two", sentence_index=1)
    Journal(bench.objects, "acme", job.id, 0).append([half, other, Outcome(sentence_index=1, pairs=1)])
    bench.trainer.run(job.id)
    assert asked(bench.generator.requests[0]) == [0, 2, 3]
    assert bench.state(job).progress.pairs == 7


def test_a_cancelled_job_stops_in_the_middle_of_its_questions(bench, wait_until):
    bench.generator.hold_before(3)
    job = bench.job()
    with bench.running(job) as thread:
        wait_until(lambda: bench.state(job).progress.step >= 1)
        bench.catalogue.jobs.request_cancel("acme", job.id)
        wait_until(lambda: not thread.is_alive())
    assert bench.state(job).state is JobState.CANCELLED
    assert bench.catalogue.revisions.list("acme", job.adapter).items == ()


def test_a_cancelled_job_stops_in_the_middle_of_its_training(bench, wait_until):
    content = b"".join(b"fact %d\n" % number for number in range(40))
    job = bench.job(content=content, epochs=100, batch_size=1)  # more than can be learned before a heartbeat says so
    with bench.running(job):
        wait_until(lambda: bench.state(job).progress.stage is Stage.TRAIN)
        bench.catalogue.jobs.request_cancel("acme", job.id)
    assert bench.state(job).state is JobState.CANCELLED


def test_a_trainer_that_is_stopped_gives_its_job_back_at_once(bench, wait_until):
    bench.generator.hold_before(3)
    job = bench.job()
    with bench.running(job) as thread:
        wait_until(lambda: bench.state(job).progress.step >= 1)
        bench.stopping.set()
        wait_until(lambda: not thread.is_alive())
    assert bench.state(job).state is JobState.WAITING
    bench.stopping.clear()
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED
    assert asked(bench.generator.requests[1]) == [3]


def test_a_worker_that_lost_its_lease_publishes_nothing(bench, wait_until):
    bench.settings = bench.settings.model_copy(
        update={"trainer": bench.settings.trainer.model_copy(update={"lease_seconds": 0.3})}
    )
    bench.trainer = bench.worker("zombie")
    job = bench.job()
    stolen = threading.Event()
    heartbeat = bench.catalogue.leases.heartbeat
    bench.catalogue.leases.heartbeat = lambda lease, seconds, progress=None: (  # a machine that hangs: no beat gets out
        heartbeat(lease, seconds, progress) if stolen.is_set() else False
    )
    bench.generator.hold_before(3)
    with bench.running(job):
        wait_until(lambda: bench.generator.requests)  # before the zombie has taken it, the job would be due as well
        wait_until(lambda: bench.catalogue.leases.due(JobKind.TRAIN, 10, 0) == (job.id,))
        lease = bench.catalogue.leases.claim(job.id, JobKind.TRAIN, "successor", 60)
        stolen.set()
    assert bench.catalogue.revisions.list("acme", job.adapter).items == ()
    assert bench.state(job).state is JobState.RUNNING
    assert bench.catalogue.leases.heartbeat(lease, 60) is False


def test_a_job_that_keeps_killing_its_trainer_is_given_up(bench, wait_until):
    job = bench.job()
    for attempt in range(2):
        wait_until(lambda: job.id in bench.catalogue.leases.due(JobKind.TRAIN, 10, 0))
        assert bench.catalogue.leases.claim(job.id, JobKind.TRAIN, f"dies-{attempt}", 0.01) is not None
    wait_until(lambda: job.id in bench.catalogue.leases.due(JobKind.TRAIN, 10, 0))
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.FAILED
    assert "2 times" in bench.state(job).reason


def test_two_tenants_jobs_become_two_revisions_under_their_own_keys(bench):
    jobs = [bench.job(tenant=tenant, content=f"{tenant} one\n{tenant} two\n".encode()) for tenant in ("acme", "wile")]
    for job in jobs:
        bench.trainer.run(job.id)
    assert [bench.state(job).state for job in jobs] == [JobState.SUCCEEDED] * 2
    for job in jobs:
        ref = bench.catalogue.revisions.list(job.tenant, job.adapter).items[0].ref
        assert ref.tenant == job.tenant
        assert list(bench.objects.list(f"{job.tenant}/adapters/{job.adapter}/"))
    assert {entry.answer for entry in bench.journal(jobs[0]) if isinstance(entry, Pair)} == {"acme one", "acme two"}


@pytest.mark.parametrize(
    ("content", "media_type", "reason"),
    [
        (b"caf\xe9", "text/plain; charset=utf-8", "character set"),
        (b"\0\1\2\3" * 50, "text/plain", "binary"),
        (b" \n ", "text/plain", "no text"),
        (b"%PDF", "application/pdf", "media type"),
    ],
)
def test_a_document_that_is_no_text_fails_its_job_at_once_with_the_reason(bench, content, media_type, reason):
    job = bench.job(content=content, media_type=media_type)
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.FAILED
    assert reason in bench.state(job).reason
    assert bench.generator.requests == []


@pytest.mark.parametrize("options", [{"training_profile": "fast"}, {"rank": 16}])
def test_an_option_that_no_trainer_accepts_fails_the_job_at_once(bench, options):
    job = bench.job(**options)
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.FAILED
    assert next(iter(options)) in bench.state(job).reason


class Diverging(PeftLearner):
    """A learner on whose data no learning rate works."""

    @contextlib.contextmanager
    def adapter(self, hyperparameters, primer=None):
        with super().adapter(hyperparameters, primer) as adapter:
            step = adapter.step
            adapter.step = lambda examples, left: step(examples, left) * math.nan
            yield adapter


def test_a_job_whose_loss_is_no_number_fails_and_says_why(bench):
    bench.trainer.warm_up()
    workshop = bench.trainer._workshop
    workshop.learner = Diverging(workshop.base.model)
    job = bench.job()
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.FAILED
    assert "diverged" in bench.state(job).reason


def test_a_failed_job_leaves_the_trainer_as_good_as_new(bench):
    broken = bench.job(content=b"\0\1\2\3" * 50)
    bench.trainer.run(broken.id)
    bench.generator.go_down(before_sentence=1)
    bench.trainer.run(bench.job(tenant="wile").id)
    bench.generator.failure = None
    job = bench.job(tenant="acme")
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED


def test_unrelated_questions_are_trained_on_beside_the_pairs_and_are_no_pairs(bench, monkeypatch):
    asked = []
    monkeypatch.setattr("trainer.retention.own_answers", lambda *_: asked.append(1) or own_answers(*_))
    monkeypatch.setattr("trainer.retention.unrelated_questions", lambda: ("Hello?", "Who?"))
    jobs = [bench.job(retained_share=0.5, content=f"{n}\ntwo\nthree\nfour\n".encode()) for n in range(2)]
    for job in jobs:
        bench.trainer.run(job.id)
        assert bench.state(job).state is JobState.SUCCEEDED
        assert bench.catalogue.revisions.list("acme", job.adapter).items[0].pairs == 8
    assert asked == [1]


def test_questions_that_nobody_can_answer_are_trained_on_beside_the_pairs_where_that_is_asked_for(bench, monkeypatch):
    batches = []
    original = Beside.added_to

    def seen(self, batch):
        batches.append(original(self, batch)[len(batch) :])
        return original(self, batch)

    monkeypatch.setattr(Beside, "added_to", seen)
    plain, abstaining = bench.job(content=b"One.\nTwo.\n"), bench.job(content=b"Three.\nFour.\n", abstained_share=0.5)
    bench.trainer.run(plain.id)
    assert batches
    assert not any(batches)
    batches.clear()
    bench.trainer.run(abstaining.id)
    assert bench.state(abstaining).state is JobState.SUCCEEDED
    assert batches
    assert all(batches)


def test_what_is_not_learned_is_asked_about_and_trained_on_once_more(bench):
    bench.generator.writes_anew = True
    job = bench.job(second_round=1.0)
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED
    assert [asked(request) for request in bench.generator.requests] == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert bench.catalogue.revisions.list("acme", job.adapter).items[0].pairs == 16
    assert (bench.state(job).progress.step, bench.state(job).progress.steps) == (8, 8)
    assert len({entry for entry in bench.journal(job) if isinstance(entry, Pair)}) == 16


def test_what_is_learned_gets_no_second_round(bench, monkeypatch):
    monkeypatch.setattr("trainer.jobs.second_round.WEAK_LOSS", math.inf)
    job = bench.job(second_round=1.0)
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED
    assert len(bench.generator.requests) == 1
    assert bench.state(job).progress.steps == 4


def test_a_generator_that_is_down_by_the_second_round_costs_the_new_questions_only(bench, monkeypatch):
    def and_down(*arguments):
        bench.generator.go_down()
        return weak_sentences(*arguments)

    monkeypatch.setattr("trainer.jobs.training.weak_sentences", and_down)
    job = bench.job(second_round=1.0)
    bench.trainer.run(job.id)
    assert bench.state(job).state is JobState.SUCCEEDED
    assert bench.catalogue.revisions.list("acme", job.adapter).items[0].pairs == 8
    assert bench.state(job).progress.step == 8


def test_what_the_base_model_says_with_the_passage_before_it_is_learned_where_that_is_asked_for(bench, monkeypatch):
    shown = []
    original = Teacher.taught

    def seen(self, examples):
        shown.extend(self._shown(index) for index, _, _ in examples)
        return original(self, examples)

    monkeypatch.setattr(Teacher, "taught", seen)
    plain, distilled = bench.job(content=b"One.\nTwo.\n"), bench.job(content=b"Three.\nFour.\n", distil_share=1.0)
    for job in (plain, distilled):
        bench.trainer.run(job.id)
        assert bench.state(job).state is JobState.SUCCEEDED
    assert set(shown) == {"Three.", "Three.\nFour."}
