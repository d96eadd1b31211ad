"""Jobs: who may work on one now, how far it is, and how it ends.

A worker holds a job by a lease. Each claim raises the job's token, and whatever a worker writes is refused once its
token is no longer the newest (fencing): a worker that was believed dead can change nothing. What ends a worker's hold
may be written again by a worker that was not told whether it was: that changes nothing more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from lift.errors import JobActive, JobCancelled, JobMissing, LeaseLost
from lift.ids import new_id
from storage.catalogue import documents, revisions, schema, tenants
from storage.catalogue.database import Database, now
from storage.catalogue.pages import page_of
from storage.records import AdapterState, Job, JobKind, JobState, Lease, Page, Progress, Revision, Stage

ACTIVE = tuple(state for state in JobState if state.active)
_PROGRESS = tuple(field.name for field in fields(Progress))
_FREE: Mapping[str, Any] = {"worker": "", "lease_expires_at": None, "next_attempt_at": None}


class Jobs:
    """Trainings and deletions of adapters; `Adapters` makes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant: str, id: str) -> Job:
        """JobMissing."""
        with self._database.read() as connection:
            return record(_visible(connection, tenant, id))

    def list(self, tenant: str, page_size: int = 0, page_token: str = "") -> Page[Job]:
        """One page, newest first. InvalidOption, MalformedPageToken."""
        j = schema.jobs
        query = select(j).where(j.c.tenant == tenant, j.c.hidden == false())
        with self._database.read() as connection:
            return page_of(
                connection,
                query,
                (j.c.created_at, j.c.id),
                page_size=page_size,
                page_token=page_token,
                records=_records,
            )

    def of_adapter(self, tenant: str, adapter: str) -> tuple[str, ...]:
        """Ids of all trainings of an adapter, also of deleted ones: their journals go with the adapter."""
        j = schema.jobs
        query = select(j.c.id).where(j.c.tenant == tenant, j.c.adapter == adapter, j.c.kind == JobKind.TRAIN)
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def claim(self, id: str, kind: JobKind, worker: str, lease_seconds: float) -> Lease | None:
        """Takes the job, of that kind, for a worker; None where it is held, has ended, is not due or is not there.

        A deletion is not due while a training of the same adapter is active.
        """
        j = schema.jobs
        with self._database.write() as connection:
            time = now(connection)
            taken = {
                **_FREE,
                "state": JobState.RUNNING,
                "reason": "",
                "worker": worker,
                "token": j.c.token + 1,
                "attempts": j.c.attempts + 1,
                "crashes": j.c.crashes + case((j.c.state == JobState.RUNNING, 1), else_=0),
                "lease_expires_at": time + timedelta(seconds=lease_seconds),
                "started_at": func.coalesce(j.c.started_at, time),
                "woken_at": None,
            }
            query = update(j).where(j.c.id == id, j.c.kind == kind, _claimable(time)).values(**taken).returning(j)
            row = connection.execute(query).first()
        return Lease(job=record(row), token=row.token) if row else None

    def heartbeat(self, lease: Lease, lease_seconds: float, progress: Progress | None = None) -> bool:
        """Renews the lease and stores progress where given; returns whether the job is to be cancelled. LeaseLost."""
        with self._database.write() as connection:
            renewed: dict[str, Any] = {"lease_expires_at": now(connection) + timedelta(seconds=lease_seconds)}
            if progress is not None:
                renewed["progress"] = _progress_json(progress)
            return bool(write_held(connection, lease, **renewed).cancel_requested)

    def publish(self, lease: Lease, revision: Revision) -> None:
        """Makes the revision the adapter's current one and the job succeeded, both or neither.

        LeaseLost; JobCancelled: it is to be cancelled, or the adapter is being deleted.
        """
        a, job = schema.adapters, lease.job
        with self._database.write() as connection:
            tenants.lock(connection, job.tenant)
            if _ended(connection, lease, JobState.SUCCEEDED):
                return
            if _end(connection, lease, JobState.SUCCEEDED, revision=revision.ref.digest).cancel_requested:
                raise JobCancelled(job=job.id)
            revisions.add(connection, revision)
            current = {"current_revision": revision.ref.digest, "state": AdapterState.READY}
            ours = and_(a.c.tenant == job.tenant, a.c.id == job.adapter, a.c.state != AdapterState.DELETING)
            if not connection.execute(update(a).where(ours).values(**current)).rowcount:
                raise JobCancelled(adapter=job.adapter)
            documents.link(connection, job.tenant, job.adapter, job.documents)

    def wait(self, lease: Lease, reason: str, delay_seconds: float) -> None:
        """Gives the job back, to be tried again after the delay. LeaseLost."""
        with self._database.write() as connection:
            if _ended(connection, lease, JobState.WAITING):
                return
            next_attempt_at = now(connection) + timedelta(seconds=delay_seconds)
            waiting = {**_FREE, "state": JobState.WAITING, "reason": reason, "next_attempt_at": next_attempt_at}
            write_held(connection, lease, **waiting)

    def fail(self, lease: Lease, reason: str, revision: Revision | None = None) -> None:
        """Ends the job without success; an adapter that has no current revision fails with it. LeaseLost.

        `revision`: what the job made and does not deserve to be current; the adapter can be rolled back to it.
        """
        with self._database.write() as connection:
            tenants.lock(connection, lease.job.tenant)
            if _ended(connection, lease, JobState.FAILED):
                return
            made = {"revision": revision.ref.digest} if revision else {}
            _end(connection, lease, JobState.FAILED, reason=reason, **made)
            if revision:
                revisions.add(connection, revision)
            _fail_adapter(connection, lease.job.tenant, lease.job.adapter)

    def cancelled(self, lease: Lease) -> None:
        """Ends the job as the tenant asked; an adapter that has no revision fails with it. LeaseLost."""
        with self._database.write() as connection:
            tenants.lock(connection, lease.job.tenant)
            if _ended(connection, lease, JobState.CANCELLED):
                return
            _end(connection, lease, JobState.CANCELLED)
            _fail_adapter(connection, lease.job.tenant, lease.job.adapter)

    def request_cancel(self, tenant: str, id: str) -> Job:
        """The job, cancelled at once where no worker holds it, else flagged for its worker.

        A job that has ended and a deletion stay as they are. JobMissing.
        """
        with self._database.write() as connection:
            tenants.lock(connection, tenant)
            job = record(_visible(connection, tenant, id))
            if job.kind is JobKind.TRAIN:
                cancel(connection, tenant, id)
            return record(_visible(connection, tenant, id))

    def delete(self, tenant: str, id: str) -> None:
        """Forgets a job that has ended; its journal stays until its adapter goes. JobMissing, JobActive."""
        j = schema.jobs
        with self._database.write() as connection:
            tenants.lock(connection, tenant)
            if record(_visible(connection, tenant, id)).state.active:
                raise JobActive(job=id)
            connection.execute(update(j).where(j.c.id == id).values(hidden=True))

    def due(self, kind: JobKind, limit: int, woken_before: float) -> tuple[str, ...]:
        """Jobs that a worker should look at now, oldest first: queued, waiting and due, or left by a dead worker.

        Deletions of tenants of whom fewer are under way come before all others. Those that were woken less than
        `woken_before` seconds ago are left out; the others count as woken now. Jobs to be cancelled that no worker
        holds any more are cancelled on the way.
        """
        self._settle_cancellations(limit)
        j = schema.jobs
        with self._database.write() as connection:
            time = now(connection)
            rested = or_(j.c.woken_at.is_(None), j.c.woken_at <= time - timedelta(seconds=woken_before))
            # The state stands beside the rest for the index's sake.
            query = select(j.c.id).where(j.c.state.in_(ACTIVE), j.c.kind == kind, _claimable(time), rested)
            turn = [_under_way(kind)] if kind is JobKind.DELETE else []
            oldest = query.order_by(*turn, j.c.created_at).limit(limit).with_for_update(skip_locked=True)
            ids = tuple(connection.execute(oldest).scalars())
            if ids:
                connection.execute(update(j).where(j.c.id.in_(ids)).values(woken_at=time))
        return ids

    def joinable(self, limit: int, waited: float) -> tuple[str, ...]:
        """Training jobs that a busy worker may take beside its own, oldest first; nothing is changed.

        No idle worker has taken them for `waited` seconds, and none has died over them. One that a worker died over
        has to lead, so those made after it wait for that: a worker whom younger ones join is never free for it.
        """
        j = schema.jobs
        with self._database.read() as connection:
            time = now(connection)
            fresh = and_(j.c.crashes == 0, j.c.state != JobState.RUNNING).label("fresh")
            old = j.c.created_at <= time - timedelta(seconds=waited)
            query = select(j.c.id, fresh).where(j.c.state.in_(ACTIVE), j.c.kind == JobKind.TRAIN, _claimable(time), old)
            rows = connection.execute(query.order_by(j.c.created_at).limit(limit)).all()
        return tuple(row.id for row in takewhile(lambda row: row.fresh, rows))

    def _settle_cancellations(self, limit: int) -> None:
        j = schema.jobs
        with self._database.read() as connection:
            left = and_(j.c.state.in_(ACTIVE), j.c.cancel_requested == true(), _unheld(now(connection)))
            rows = connection.execute(select(j.c.tenant, j.c.id).where(left).limit(limit)).all()
        for row in rows:
            with self._database.write() as connection:
                tenants.lock(connection, row.tenant)
                cancel(connection, row.tenant, row.id)


def add(
    connection: Connection,
    *,
    tenant: str,
    adapter: str,
    kind: JobKind,
    documents: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Job:
    """Inserts a queued job. Whoever does so wakes a trainer: the sweeper waits its time for that."""
    time = now(connection)
    query = insert(schema.jobs).values(
        id=new_id("job"),
        tenant=tenant,
        adapter=adapter,
        kind=kind,
        documents=list(documents),
        options=dict(options or {}),
        state=JobState.QUEUED,
        reason="",
        attempts=0,
        crashes=0,
        progress=_progress_json(Progress()),
        cancel_requested=False,
        created_at=time,
        worker="",
        token=0,
        woken_at=time,
        hidden=False,
    )
    return record(connection.execute(query.returning(schema.jobs)).one())


def find(connection: Connection, tenant: str, id: str) -> Job | None:
    """The job, also one that the tenant deleted."""
    j = schema.jobs
    row = connection.execute(select(j).where(j.c.tenant == tenant, j.c.id == id)).first()
    return record(row) if row else None


def resume(connection: Connection, id: str) -> Job:
    """Queues a job that has ended once more, with its journal, its progress and a new budget of attempts."""
    again = {
        **_FREE,
        "state": JobState.QUEUED,
        "reason": "",
        "attempts": 0,
        "crashes": 0,
        "cancel_requested": False,
        "ended_at": None,
        "hidden": False,
        "woken_at": now(connection),
    }
    query = update(schema.jobs).where(schema.jobs.c.id == id).values(**again).returning(schema.jobs)
    return record(connection.execute(query).one())


def cancel(connection: Connection, tenant: str, id: str) -> None:
    """Cancels an active job where no worker holds it, and asks its worker where one does. Needs the tenant's lock."""
    j, time = schema.jobs, now(connection)
    ended = {**_FREE, "state": JobState.CANCELLED, "cancel_requested": True, "ended_at": time}
    unheld = update(j).where(j.c.id == id, j.c.tenant == tenant, j.c.state.in_(ACTIVE), _unheld(time))
    if row := connection.execute(unheld.values(**ended).returning(j.c.adapter)).first():
        _fail_adapter(connection, tenant, row.adapter)
        return
    held = update(j).where(j.c.id == id, j.c.tenant == tenant, j.c.state == JobState.RUNNING)
    connection.execute(held.values(cancel_requested=True))


def write_held(connection: Connection, lease: Lease, **changes: Any) -> Row[Any]:
    """Writes to the job if the lease is still its newest, and returns its row. LeaseLost."""
    j = schema.jobs
    held = and_(j.c.id == lease.job.id, j.c.token == lease.token, j.c.state == JobState.RUNNING)
    row = connection.execute(update(j).where(held).values(**changes).returning(j)).first()
    if row is None:
        raise LeaseLost(job=lease.job.id)
    return row


def succeed(connection: Connection, lease: Lease) -> None:
    """Ends a job that makes no revision. LeaseLost."""
    _end(connection, lease, JobState.SUCCEEDED)


def _end(connection: Connection, lease: Lease, state: JobState, **changes: Any) -> Row[Any]:
    return write_held(connection, lease, **_FREE, state=state, ended_at=now(connection), **changes)


def _ended(connection: Connection, lease: Lease, state: JobState) -> bool:
    """Whether the lease has brought the job into that state before."""
    j = schema.jobs
    same = and_(j.c.id == lease.job.id, j.c.token == lease.token, j.c.state == state)
    return bool(connection.execute(select(exists().where(same))).scalar_one())


def _fail_adapter(connection: Connection, tenant: str, adapter: str) -> None:
    # TRAINING means that there never was a revision: an adapter that has one stays READY while it is trained again.
    a = schema.adapters
    first = and_(a.c.tenant == tenant, a.c.id == adapter, a.c.state == AdapterState.TRAINING)
    connection.execute(update(a).where(first).values(state=AdapterState.FAILED))


def _unheld(time: datetime) -> ColumnElement[bool]:
    j = schema.jobs
    return or_(j.c.state.in_([JobState.QUEUED, JobState.WAITING]), j.c.lease_expires_at <= time)


def _claimable(time: datetime) -> ColumnElement[bool]:
    j, other = schema.jobs, schema.jobs.alias()
    due = or_(
        j.c.state == JobState.QUEUED,
        and_(j.c.state == JobState.WAITING, j.c.next_attempt_at <= time),
        and_(j.c.state == JobState.RUNNING, j.c.lease_expires_at <= time),
    )
    training = exists().where(
        other.c.tenant == j.c.tenant,
        other.c.adapter == j.c.adapter,
        other.c.kind == JobKind.TRAIN,
        other.c.state.in_(ACTIVE),
    )
    return and_(j.c.cancel_requested == false(), due, or_(j.c.kind == JobKind.TRAIN, ~training))


def _under_way(kind: JobKind) -> ColumnElement[int]:
    """How many jobs of that kind of the job's tenant are held by a worker."""
    j, other = schema.jobs, schema.jobs.alias()
    held = and_(other.c.tenant == j.c.tenant, other.c.state == JobState.RUNNING, other.c.kind == kind)
    return select(func.count()).where(held).correlate(j).scalar_subquery()


def _visible(connection: Connection, tenant: str, id: str) -> Row[Any]:
    j = schema.jobs
    row = connection.execute(select(j).where(j.c.tenant == tenant, j.c.id == id, j.c.hidden == false())).first()
    if row is None:
        raise JobMissing(job=id)
    return row


def _records(rows: Sequence[Row[Any]]) -> Sequence[Job]:
    return [record(row) for row in rows]


def record(row: Row[Any]) -> Job:
    """A job's row as a value."""
    return Job(
        id=row.id,
        tenant=row.tenant,
        adapter=row.adapter,
        kind=JobKind(row.kind),
        documents=tuple(row.documents),
        options=row.options,
        state=JobState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        crashes=row.crashes,
        progress=_progress(row.progress),
        revision=row.revision,
        cancel_requested=row.cancel_requested,
        created_at=row.created_at,
        ended_at=row.ended_at,
        next_attempt_at=row.next_attempt_at,
    )


def _progress_json(progress: Progress) -> dict[str, Any]:
    return {
        "stage": progress.stage.value,
        "sentences": progress.sentences,
        "sentences_done": progress.sentences_done,
        "pairs": progress.pairs,
        "step": progress.step,
        "steps": progress.steps,
        "loss": progress.loss if math.isfinite(progress.loss) else None,  # JSON has no NaN
        "seconds": {name: float(value) for name, value in progress.seconds.items()},
    }


def _progress(stored: Mapping[str, Any]) -> Progress:
    loss = math.nan if stored["loss"] is None else stored["loss"]
    known = {name: stored[name] for name in _PROGRESS if name in stored}  # a newer trainer's may have more
    return Progress(**{**known, "stage": Stage(stored["stage"]), "loss": loss})
