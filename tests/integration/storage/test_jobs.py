"""How jobs are held, handed on and ended, on SQLite and on PostgreSQL."""

import math
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from lift.errors import JobActive, JobCancelled, JobMissing, LeaseLost, TenantMissing
from lift.values import AdapterState, JobKind, JobState, Quotas, Stage
from storage.catalogue import Catalogue, schema
from storage.records import ACTIVE, Job, Lease, Progress, Revision, RevisionRef

EXPIRED = 0.0  # a lease of no length: its worker is dead at once


@pytest.fixture
def job(catalogue: Catalogue) -> Job:
    """A queued training of a new adapter."""
    catalogue.tenants.create("acme", "", Quotas())
    return another_job(catalogue, "0")


def another_job(catalogue: Catalogue, content: str, tenant: str = "acme") -> Job:
    document = catalogue.documents.create(
        tenant, title="", media_type="text/plain", sha256=content * 64, size_bytes=1, put=lambda _: None
    )
    _, job = catalogue.adapters.create(
        tenant, id=None, title="", documents=[document.id], base_model="base", options={}
    )
    return job


def claimed(catalogue: Catalogue, job: Job, lease_seconds: float = 60, worker: str = "worker") -> Lease:
    lease = catalogue.leases.claim(job.id, JobKind.TRAIN, worker, lease_seconds)
    assert lease is not None
    return lease


def a_revision(job: Job) -> Revision:
    return Revision(
        ref=RevisionRef(tenant=job.tenant, adapter=job.adapter, digest="d" * 64),
        job=job.id,
        rank=8,
        size_bytes=1,
        base_model="base",
        base_model_revision="r",
        sentences=1,
        pairs=1,
        final_loss=0.1,
        created_at=datetime.now(UTC),
    )


def test_a_claimed_job_is_running_and_nobody_else_gets_it(catalogue: Catalogue, job: Job) -> None:
    lease = claimed(catalogue, job)
    assert (lease.token, lease.job.state, lease.job.attempts) == (1, JobState.RUNNING, 1)
    assert catalogue.leases.claim(job.id, JobKind.TRAIN, "other", 60) is None


def test_a_job_is_claimed_only_as_what_it_is(catalogue: Catalogue, job: Job) -> None:
    assert catalogue.leases.claim(job.id, JobKind.DELETE, "worker", 60) is None
    assert catalogue.leases.claim("job-nowhere", JobKind.TRAIN, "worker", 60) is None


def test_of_many_workers_one_gets_the_job(catalogue: Catalogue, job: Job) -> None:
    start = threading.Barrier(8)
    leases: list[Lease | None] = []

    def claim(worker: int) -> None:
        start.wait()
        leases.append(catalogue.leases.claim(job.id, JobKind.TRAIN, f"worker-{worker}", 60))

    threads = [threading.Thread(target=claim, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(leases) == 8
    assert sum(lease is not None for lease in leases) == 1


def test_a_heartbeat_keeps_the_lease_and_the_progress(catalogue: Catalogue, job: Job) -> None:
    lease = claimed(catalogue, job, EXPIRED)
    progress = Progress(stage=Stage.TRAIN, sentences=25, step=3, loss=0.25, seconds={"extract": 0.5})
    assert catalogue.leases.heartbeat(lease, 60, progress) is False
    assert catalogue.leases.claim(job.id, JobKind.TRAIN, "other", 60) is None
    assert catalogue.leases.heartbeat(lease, 60) is False
    assert catalogue.jobs.get("acme", job.id).progress == progress


def test_a_loss_that_is_not_a_number_is_progress_too(catalogue: Catalogue, job: Job) -> None:
    catalogue.leases.heartbeat(claimed(catalogue, job), 60, Progress(loss=math.nan))
    assert math.isnan(catalogue.jobs.get("acme", job.id).progress.loss)


def test_what_a_newer_trainer_adds_to_its_progress_is_left_out(catalogue: Catalogue, job: Job) -> None:
    catalogue.leases.heartbeat(claimed(catalogue, job), 60, Progress(step=3))
    with catalogue._database.write() as connection:
        stored = connection.execute(select(schema.jobs.c.progress)).scalar_one()
        connection.execute(update(schema.jobs).values(progress={**stored, "added": "later"}))
    assert catalogue.jobs.get("acme", job.id).progress == Progress(step=3)


def test_a_dead_workers_job_goes_to_the_next_with_a_higher_token(catalogue: Catalogue, job: Job) -> None:
    first = claimed(catalogue, job, EXPIRED)
    second = claimed(catalogue, job, worker="other")
    assert second.token > first.token
    assert (second.job.attempts, second.job.crashes) == (2, 1)


def test_a_worker_that_lost_its_lease_can_write_nothing(catalogue: Catalogue, job: Job) -> None:
    zombie = claimed(catalogue, job, EXPIRED)
    holder = claimed(catalogue, job, worker="other")
    writes: list[Callable[[], object]] = [
        lambda: catalogue.leases.heartbeat(zombie, 60, Progress(step=99)),
        lambda: catalogue.leases.publish(zombie, a_revision(job)),
        lambda: catalogue.leases.wait(zombie, "later", 1),
        lambda: catalogue.leases.fail(zombie, "broken"),
        lambda: catalogue.leases.cancelled(zombie),
    ]
    for write in writes:
        with pytest.raises(LeaseLost):
            write()
    assert catalogue.jobs.get("acme", job.id) == holder.job
    assert catalogue.revisions.list("acme", job.adapter).items == ()
    assert catalogue.adapters.get("acme", job.adapter).state is AdapterState.TRAINING


def test_a_job_that_has_ended_has_no_holder(catalogue: Catalogue, job: Job) -> None:
    lease = claimed(catalogue, job)
    catalogue.leases.publish(lease, a_revision(job))
    with pytest.raises(LeaseLost):
        catalogue.leases.fail(lease, "too late")
    assert catalogue.leases.claim(job.id, JobKind.TRAIN, "other", 60) is None
    assert catalogue.jobs.get("acme", job.id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.WAITING])
def test_what_ends_a_hold_may_be_written_again_and_changes_nothing_more(
    catalogue: Catalogue, job: Job, state: JobState
) -> None:
    lease = claimed(catalogue, job)
    writes: dict[JobState, Callable[[], object]] = {
        JobState.SUCCEEDED: lambda: catalogue.leases.publish(lease, a_revision(job)),
        JobState.FAILED: lambda: catalogue.leases.fail(lease, "broken"),
        JobState.CANCELLED: lambda: catalogue.leases.cancelled(lease),
        JobState.WAITING: lambda: catalogue.leases.wait(lease, "later", 0),
    }
    writes[state]()
    written = catalogue.jobs.get("acme", job.id)
    writes[state]()
    assert catalogue.jobs.get("acme", job.id) == written
    assert written.state is state
    for other in writes.keys() - {state}:
        with pytest.raises(LeaseLost):
            writes[other]()


def test_a_job_that_is_to_be_cancelled_publishes_nothing(catalogue: Catalogue, job: Job) -> None:
    lease = claimed(catalogue, job)
    catalogue.jobs.request_cancel("acme", job.id)
    with pytest.raises(JobCancelled):
        catalogue.leases.publish(lease, a_revision(job))
    assert catalogue.jobs.get("acme", job.id).state is JobState.RUNNING
    assert catalogue.revisions.list("acme", job.adapter).items == ()


def test_a_waiting_job_says_why_and_until_when(catalogue: Catalogue, job: Job) -> None:
    catalogue.leases.wait(claimed(catalogue, job), "the endpoint is down", 3600)
    waiting = catalogue.jobs.get("acme", job.id)
    assert (waiting.state, waiting.reason) == (JobState.WAITING, "the endpoint is down")
    assert waiting.next_attempt_at is not None
    assert waiting.next_attempt_at > datetime.now(UTC)
    assert catalogue.leases.claim(job.id, JobKind.TRAIN, "worker", 60) is None


def test_a_waiting_job_is_claimed_once_its_time_has_come(catalogue: Catalogue, job: Job) -> None:
    catalogue.leases.wait(claimed(catalogue, job), "the endpoint is down", 0)
    lease = claimed(catalogue, job)
    assert (lease.job.reason, lease.job.next_attempt_at, lease.job.crashes) == ("", None, 0)


def test_a_job_nobody_holds_is_cancelled_at_once(catalogue: Catalogue, job: Job) -> None:
    waiting, abandoned = another_job(catalogue, "1"), another_job(catalogue, "2")
    catalogue.leases.wait(claimed(catalogue, waiting), "later", 3600)
    claimed(catalogue, abandoned, EXPIRED)
    for unheld in (job, waiting, abandoned):
        cancelled = catalogue.jobs.request_cancel("acme", unheld.id)
        assert cancelled.state is JobState.CANCELLED
        assert cancelled.ended_at is not None
        assert catalogue.adapters.get("acme", unheld.adapter).state is AdapterState.FAILED
        assert catalogue.leases.claim(unheld.id, JobKind.TRAIN, "worker", 60) is None


def test_a_held_job_is_cancelled_by_its_worker(catalogue: Catalogue, job: Job) -> None:
    lease = claimed(catalogue, job)
    assert catalogue.jobs.request_cancel("acme", job.id).state is JobState.RUNNING
    assert catalogue.leases.heartbeat(lease, 60) is True
    catalogue.leases.cancelled(lease)
    assert catalogue.jobs.get("acme", job.id).state is JobState.CANCELLED
    assert catalogue.adapters.get("acme", job.adapter).state is AdapterState.FAILED


def test_a_job_to_be_cancelled_whose_worker_died_is_cancelled_by_the_sweep(catalogue: Catalogue, job: Job) -> None:
    lease = claimed(catalogue, job)
    catalogue.jobs.request_cancel("acme", job.id)
    catalogue.leases.heartbeat(lease, EXPIRED)
    assert catalogue.leases.claim(job.id, JobKind.TRAIN, "other", 60) is None
    assert catalogue.leases.due(JobKind.TRAIN, 10, 0) == ()
    assert catalogue.jobs.get("acme", job.id).state is JobState.CANCELLED


def test_cancelling_what_has_ended_changes_nothing(catalogue: Catalogue, job: Job) -> None:
    catalogue.leases.publish(claimed(catalogue, job), a_revision(job))
    assert catalogue.jobs.request_cancel("acme", job.id) == catalogue.jobs.get("acme", job.id)
    assert catalogue.adapters.get("acme", job.adapter).state is AdapterState.READY


def test_a_revision_of_an_adapter_that_is_being_deleted_is_not_published(catalogue: Catalogue, job: Job) -> None:
    lease = claimed(catalogue, job)
    catalogue.adapters.start_deletion("acme", job.adapter)
    with pytest.raises(JobCancelled):
        catalogue.leases.publish(lease, a_revision(job))
    catalogue.leases.cancelled(lease)
    assert catalogue.revisions.list("acme", job.adapter).items == ()
    assert catalogue.adapters.get("acme", job.adapter).state is AdapterState.DELETING


def test_the_sweep_finds_what_is_queued_due_or_abandoned_the_oldest_first(catalogue: Catalogue, job: Job) -> None:
    queued, due, later, abandoned, held = (another_job(catalogue, content) for content in "12345")
    catalogue.leases.wait(claimed(catalogue, due), "again", 0)
    catalogue.leases.wait(claimed(catalogue, later), "again", 3600)
    claimed(catalogue, abandoned, EXPIRED)
    claimed(catalogue, held)
    catalogue.leases.publish(claimed(catalogue, job), a_revision(job))
    assert catalogue.leases.due(JobKind.TRAIN, 10, 0) == (queued.id, due.id, abandoned.id)
    assert catalogue.leases.due(JobKind.DELETE, 10, 0) == ()


def test_the_sweep_wakes_a_job_once_in_a_while_only(catalogue: Catalogue, job: Job) -> None:
    assert catalogue.leases.due(JobKind.TRAIN, 10, 60) == ()  # whoever made the job has just woken a trainer
    assert catalogue.leases.due(JobKind.TRAIN, 10, 0) == (job.id,)
    assert catalogue.leases.due(JobKind.TRAIN, 10, 60) == ()
    claimed(catalogue, job, EXPIRED)
    assert catalogue.leases.due(JobKind.TRAIN, 10, 60) == (job.id,)  # an abandoned job does not wait longer


def test_the_sweep_takes_no_more_than_it_is_asked_for(catalogue: Catalogue, job: Job) -> None:
    another_job(catalogue, "1")
    assert catalogue.leases.due(JobKind.TRAIN, 1, 0) == (job.id,)


def test_active_jobs_are_counted_by_kind_and_state_with_the_age_of_the_oldest(catalogue: Catalogue, job: Job) -> None:
    made = datetime.now(UTC) - timedelta(seconds=100)
    with catalogue._database.write() as connection:
        connection.execute(update(schema.jobs).where(schema.jobs.c.id == job.id).values(created_at=made))
    another_job(catalogue, "1")
    claimed(catalogue, another_job(catalogue, "2"))
    lease = claimed(catalogue, another_job(catalogue, "3"))
    catalogue.leases.fail(lease, "it went wrong")
    queued, running = sorted(catalogue.jobs.backlog(), key=lambda some: some.state)
    assert (queued.kind, queued.state, queued.jobs) == (JobKind.TRAIN, JobState.QUEUED, 2)
    assert 100 <= queued.oldest_seconds < 160
    assert (running.state, running.jobs) == (JobState.RUNNING, 1)
    assert running.oldest_seconds < 60


def test_only_what_nobody_took_and_nobody_died_over_may_join_a_busy_worker(catalogue: Catalogue, job: Job) -> None:
    due, abandoned, held, later = (another_job(catalogue, content) for content in "1234")
    catalogue.leases.wait(claimed(catalogue, due), "again", 0)
    claimed(catalogue, abandoned, EXPIRED)
    claimed(catalogue, held)
    catalogue.leases.wait(claimed(catalogue, later), "again", 3600)
    assert catalogue.leases.joinable(10, 0) == (job.id, due.id)
    assert catalogue.leases.joinable(1, 0) == (job.id,)
    assert catalogue.leases.joinable(10, 60) == ()
    catalogue.leases.wait(claimed(catalogue, abandoned), "again", 0)
    assert abandoned.id not in catalogue.leases.joinable(10, 0)


def test_nothing_joins_that_is_younger_than_a_due_job_that_has_to_lead(catalogue: Catalogue, job: Job) -> None:
    abandoned, later = another_job(catalogue, "1"), another_job(catalogue, "2")
    held = claimed(catalogue, abandoned)
    assert catalogue.leases.joinable(10, 0) == (job.id, later.id)
    catalogue.leases.heartbeat(held, EXPIRED)
    assert catalogue.leases.joinable(10, 0) == (job.id,)
    leading = claimed(catalogue, abandoned)
    assert catalogue.leases.joinable(10, 0) == (job.id, later.id)
    catalogue.leases.wait(leading, "again", 3600)
    assert catalogue.leases.joinable(10, 0) == (job.id, later.id)
    assert catalogue.leases.due(JobKind.TRAIN, 10, 0) == (job.id, later.id)


def test_a_deletion_is_due_once_no_training_is_active(catalogue: Catalogue, job: Job) -> None:
    training = claimed(catalogue, job)
    deletion = catalogue.adapters.start_deletion("acme", job.adapter)
    assert catalogue.leases.due(JobKind.DELETE, 10, 0) == ()
    catalogue.leases.cancelled(training)
    assert catalogue.leases.due(JobKind.DELETE, 10, 0) == (deletion.id,)


def test_a_dead_training_does_not_keep_an_adapter_from_being_deleted(catalogue: Catalogue, job: Job) -> None:
    training = claimed(catalogue, job)
    deletion = catalogue.adapters.start_deletion("acme", job.adapter)
    catalogue.leases.heartbeat(training, EXPIRED)
    assert catalogue.leases.due(JobKind.DELETE, 10, 0) == (deletion.id,)


def test_a_job_that_has_ended_can_be_forgotten(catalogue: Catalogue, job: Job) -> None:
    with pytest.raises(JobActive):
        catalogue.jobs.delete("acme", job.id)
    catalogue.jobs.request_cancel("acme", job.id)
    catalogue.jobs.delete("acme", job.id)
    with pytest.raises(JobMissing):
        catalogue.jobs.get("acme", job.id)
    with pytest.raises(JobMissing):
        catalogue.jobs.delete("acme", job.id)
    assert catalogue.jobs.list("acme").items == ()
    assert catalogue.jobs.of_adapter("acme", job.adapter) == (job.id,)  # its journal is still to be deleted


def test_what_is_committed_is_seen_by_another_process(catalogue_url: str, catalogue: Catalogue, job: Job) -> None:
    other = Catalogue(catalogue_url)
    lease = claimed(other, job)
    assert catalogue.leases.claim(job.id, JobKind.TRAIN, "here", 60) is None
    catalogue.jobs.request_cancel("acme", job.id)
    assert other.leases.heartbeat(lease, 60) is True
    other.close()


def test_publishing_and_deleting_at_the_same_time_never_block_each_other(catalogue: Catalogue, job: Job) -> None:
    jobs = [job, *(another_job(catalogue, content) for content in "123456")]
    leases = [claimed(catalogue, each) for each in jobs]
    failures: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except JobCancelled:
            pass
        except BaseException as error:
            failures.append(error)

    calls: list[Callable[[], object]] = []
    for lease in leases:
        calls += [
            lambda lease=lease: catalogue.leases.publish(lease, a_revision(lease.job)),
            lambda lease=lease: catalogue.adapters.start_deletion("acme", lease.job.adapter),
            lambda: catalogue.leases.due(JobKind.TRAIN, 10, 0),
        ]
    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    states = {catalogue.adapters.get("acme", each.adapter).state for each in jobs}
    assert states == {AdapterState.DELETING}


def test_writers_on_one_file_wait_for_each_other(sqlite_url: str, tmp_path: Path) -> None:
    catalogues = [Catalogue(sqlite_url) for _ in range(4)]
    catalogues[0].tenants.create("acme", "", Quotas())

    def create(catalogue: Catalogue) -> None:
        for _ in range(25):
            catalogue.keys.create("acme", "")

    threads = [threading.Thread(target=create, args=(catalogue,)) for catalogue in catalogues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalogues[0].keys.list("acme").items) == 100
    for catalogue in catalogues:
        catalogue.close()


def test_tenants_of_whom_fewer_deletions_are_under_way_come_first(catalogue: Catalogue) -> None:
    deletions = []
    for tenant, content in (("acme", "0"), ("acme", "1"), ("acme", "2"), ("rival", "3")):
        if content in "03":
            catalogue.tenants.create(tenant, "", Quotas())
        adapter = another_job(catalogue, content, tenant).adapter
        deletions.append(catalogue.adapters.start_deletion(tenant, adapter).id)
    assert catalogue.leases.due(JobKind.DELETE, 10, 0) == tuple(deletions)
    assert catalogue.leases.claim(deletions[0], JobKind.DELETE, "gateway", 60)
    assert catalogue.leases.due(JobKind.DELETE, 2, 0) == (deletions[3], deletions[1])


# Jobs of all tenants, for operators


def listed_ids(catalogue: Catalogue, *states: JobState, page_size: int = 0, **wanted: Any) -> list[str]:
    """The ids of a listing, page by page."""
    ids, token = [], ""
    while True:
        page = catalogue.jobs.overviews(states, page_size, token, **wanted)
        assert len(page.items) <= (page_size or 50)
        ids += [found.job.id for found in page.items]
        token = page.next_token
        if not token:
            return ids


def test_operators_see_who_holds_a_job_and_since_when(catalogue: Catalogue, job: Job) -> None:
    [queued] = catalogue.jobs.overviews().items
    assert (queued.job, queued.worker, queued.started_at, queued.lease_expires_at) == (job, "", None, None)
    lease = claimed(catalogue, job, worker="gpu-7")
    [held] = catalogue.jobs.overviews().items
    assert (held.job.tenant, held.job.state, held.worker) == ("acme", JobState.RUNNING, "gpu-7")
    assert held.started_at is not None
    assert held.lease_expires_at is not None
    assert job.created_at <= held.started_at < held.lease_expires_at
    catalogue.leases.wait(lease, "The generator cannot be reached", 60)
    waiting = catalogue.jobs.overview("acme", job.id)
    assert (waiting.worker, waiting.lease_expires_at, waiting.started_at) == ("", None, held.started_at)
    assert waiting.job.reason == "The generator cannot be reached"
    with pytest.raises(JobMissing):
        catalogue.jobs.overview("other", job.id)


@pytest.mark.parametrize("page_size", [1, 2, 0])
def test_jobs_of_all_tenants_are_listed_by_state_in_the_order_of_their_creation(
    catalogue: Catalogue, job: Job, page_size: int
) -> None:
    catalogue.tenants.create("other", "", Quotas())
    running = another_job(catalogue, "1", tenant="other")
    waiting, failed, forgotten, queued = (another_job(catalogue, content) for content in "2345")
    claimed(catalogue, running)
    catalogue.leases.wait(claimed(catalogue, waiting), "away", 60)
    catalogue.leases.fail(claimed(catalogue, failed), "no")
    catalogue.jobs.request_cancel("acme", forgotten.id)
    catalogue.jobs.delete("acme", forgotten.id)
    deletion = catalogue.adapters.start_deletion("acme", failed.adapter)
    made = [found.id for found in (job, running, waiting, failed, queued, deletion)]
    active = [found.id for found in (job, running, waiting, queued, deletion)]
    listed = partial(listed_ids, catalogue, page_size=page_size)
    assert listed(*ACTIVE) == active
    assert listed() == made
    assert listed(newest_first=True) == made[::-1]
    assert listed(JobState.FAILED) == [failed.id]
    assert listed(JobState.SUCCEEDED) == []
    assert listed(*ACTIVE, tenant="other") == [running.id]


def test_a_page_of_jobs_is_read_in_order_from_an_index(
    sqlite_url: str, statements_of: Callable[[Catalogue], AbstractContextManager[list[str]]]
) -> None:
    catalogue = Catalogue(sqlite_url)
    with statements_of(catalogue) as sent:
        catalogue.jobs.overviews(ACTIVE)
    catalogue.close()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file:
        plan = file.execute(f"EXPLAIN QUERY PLAN {sent[-1]}", [None] * sent[-1].count("?")).fetchall()
    reads = [step for *_, step in plan if " jobs" in step]
    assert reads == ["SEARCH jobs USING INDEX jobs_by_state_kind_created_at (state=? AND kind=?)"] * 6


def test_jobs_of_a_tenant_that_there_is_none_of_are_not_listed(catalogue: Catalogue) -> None:
    with pytest.raises(TenantMissing):
        catalogue.jobs.overviews(tenant="nobody")
