"""A worker's hold on a job: who may work on one now, how far it is, and how it ends.

A worker holds a job by a lease. Each claim raises the job's token, and whatever a worker writes is refused once its
token is no longer the newest (fencing): a worker that was believed dead can change nothing. What ends a worker's hold
may be written again by a worker that was not told whether it was: that changes nothing more.
"""

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, false, func, or_, select, true, update

from lift.errors import JobCancelled, LeaseLost
from lift.values import AdapterState, JobKind, JobState
from storage.catalogue import documents, jobs, revisions, schema, tenants
from storage.catalogue.database import Database, now
from storage.records import ACTIVE, Lease, Progress, Revision


class Leases:
    """Workers' holds on jobs, and what wants a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, id: str, kind: JobKind, worker: str, lease_seconds: float) -> Lease | None:
        """Takes the job, of that kind, for a worker; None where it is held, has ended, is not due or is not there.

        A deletion is not due while a training of the same adapter is active.
        """
        j = schema.jobs
        with self._database.write() as connection:
            time = now(connection)
            taken = {
                **jobs.FREE,
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
        return Lease(job=jobs.record(row), token=row.token) if row else None

    def heartbeat(self, lease: Lease, lease_seconds: float, progress: Progress | None = None) -> bool:
        """Renews the lease and stores progress where given; returns whether the job is to be cancelled. LeaseLost."""
        with self._database.write() as connection:
            renewed: dict[str, Any] = {"lease_expires_at": now(connection) + timedelta(seconds=lease_seconds)}
            if progress is not None:
                renewed["progress"] = jobs.progress_json(progress)
            return bool(_write_held(connection, lease, **renewed).cancel_requested)

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
            waiting = {**jobs.FREE, "state": JobState.WAITING, "reason": reason, "next_attempt_at": next_attempt_at}
            _write_held(connection, lease, **waiting)

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
            jobs.fail_adapter(connection, lease.job.tenant, lease.job.adapter)

    def cancelled(self, lease: Lease) -> None:
        """Ends the job as the tenant asked; an adapter that has no revision fails with it. LeaseLost."""
        with self._database.write() as connection:
            tenants.lock(connection, lease.job.tenant)
            if _ended(connection, lease, JobState.CANCELLED):
                return
            _end(connection, lease, JobState.CANCELLED)
            jobs.fail_adapter(connection, lease.job.tenant, lease.job.adapter)

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
            left = and_(j.c.state.in_(ACTIVE), j.c.cancel_requested == true(), jobs.unheld(now(connection)))
            rows = connection.execute(select(j.c.tenant, j.c.id).where(left).limit(limit)).all()
        for row in rows:
            with self._database.write() as connection:
                tenants.lock(connection, row.tenant)
                jobs.cancel(connection, row.tenant, row.id)


def _write_held(connection: Connection, lease: Lease, **changes: Any) -> Row[Any]:
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
    return _write_held(connection, lease, **jobs.FREE, state=state, ended_at=now(connection), **changes)


def _ended(connection: Connection, lease: Lease, state: JobState) -> bool:
    """Whether the lease has brought the job into that state before."""
    j = schema.jobs
    same = and_(j.c.id == lease.job.id, j.c.token == lease.token, j.c.state == state)
    return bool(connection.execute(select(exists().where(same))).scalar_one())


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
