"""Jobs as tenants and operators see them, and as adapters make, resume and cancel them.

`leases` has how workers hold them.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, false, func, insert, or_, select, update

from lift.errors import JobActive, JobMissing
from lift.ids import new_id
from lift.values import AdapterState, JobKind, JobState, Stage
from storage.catalogue import schema, tenants
from storage.catalogue.database import Database, now
from storage.catalogue.pages import page_of
from storage.records import ACTIVE, Backlog, Job, JobOverview, Page, Progress

FREE: Mapping[str, Any] = {"worker": "", "lease_expires_at": None, "next_attempt_at": None}
"""What a job that no worker holds has in place of a lease."""
_PROGRESS = tuple(field.name for field in fields(Progress))


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
                record=record,
            )

    def overview(self, tenant: str, id: str) -> JobOverview:
        """One job as operators see it. JobMissing."""
        with self._database.read() as connection:
            return _overview(_visible(connection, tenant, id))

    def overviews(
        self,
        states: Collection[JobState] = (),
        page_size: int = 0,
        page_token: str = "",
        *,
        tenant: str | None = None,
        newest_first: bool = False,
    ) -> Page[JobOverview]:
        """One page of the jobs in such states (in any), of all tenants or of one, oldest first or newest first.

        TenantMissing, InvalidOption, MalformedPageToken.
        """
        j = schema.jobs
        query = select(j).where(j.c.hidden == false())
        # Apart by what stands before the time in the index that leases have, so that each is read in order.
        parts = [and_(j.c.state == state, j.c.kind == kind) for state in states or JobState for kind in JobKind]
        with self._database.read() as connection:
            if tenant is not None:
                query = query.where(j.c.tenant == tenants.get(connection, tenant).id)
            return page_of(
                connection,
                query,
                (j.c.created_at, j.c.id),
                page_size=page_size,
                page_token=page_token,
                record=_overview,
                ascending=not newest_first,
                parts=parts,
            )

    def backlog(self) -> tuple[Backlog, ...]:
        """All tenants' active jobs, counted by kind and state; of those without any there is none."""
        j = schema.jobs
        query = select(j.c.kind, j.c.state, func.count().label("jobs"), func.min(j.c.created_at).label("oldest"))
        with self._database.read() as connection:
            rows = connection.execute(query.where(j.c.state.in_(ACTIVE)).group_by(j.c.kind, j.c.state)).all()
            time = now(connection)
        return tuple(
            Backlog(
                kind=JobKind(row.kind),
                state=JobState(row.state),
                jobs=row.jobs,
                oldest_seconds=(time - row.oldest).total_seconds(),
            )
            for row in rows
        )

    def of_adapter(self, tenant: str, adapter: str) -> tuple[str, ...]:
        """Ids of all trainings of an adapter, also of deleted ones: their journals go with the adapter."""
        j = schema.jobs
        query = select(j.c.id).where(j.c.tenant == tenant, j.c.adapter == adapter, j.c.kind == JobKind.TRAIN)
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

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
        progress=progress_json(Progress()),
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
        **FREE,
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
    ended = {**FREE, "state": JobState.CANCELLED, "cancel_requested": True, "ended_at": time}
    free = update(j).where(j.c.id == id, j.c.tenant == tenant, j.c.state.in_(ACTIVE), unheld(time))
    if row := connection.execute(free.values(**ended).returning(j.c.adapter)).first():
        fail_adapter(connection, tenant, row.adapter)
        return
    held = update(j).where(j.c.id == id, j.c.tenant == tenant, j.c.state == JobState.RUNNING)
    connection.execute(held.values(cancel_requested=True))


def fail_adapter(connection: Connection, tenant: str, adapter: str) -> None:
    """An adapter that never had a revision fails with its job."""
    # TRAINING means just that: an adapter that has one stays READY while it is trained again.
    a = schema.adapters
    first = and_(a.c.tenant == tenant, a.c.id == adapter, a.c.state == AdapterState.TRAINING)
    connection.execute(update(a).where(first).values(state=AdapterState.FAILED))


def unheld(time: datetime) -> ColumnElement[bool]:
    """No worker holds the job, if it is active."""
    j = schema.jobs
    return or_(j.c.state.in_([JobState.QUEUED, JobState.WAITING]), j.c.lease_expires_at <= time)


def _visible(connection: Connection, tenant: str, id: str) -> Row[Any]:
    j = schema.jobs
    row = connection.execute(select(j).where(j.c.tenant == tenant, j.c.id == id, j.c.hidden == false())).first()
    if row is None:
        raise JobMissing(job=id)
    return row


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


def _overview(row: Row[Any]) -> JobOverview:
    return JobOverview(
        job=record(row), worker=row.worker, started_at=row.started_at, lease_expires_at=row.lease_expires_at
    )


def progress_json(progress: Progress) -> dict[str, Any]:
    """Progress as the table keeps it."""
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
