"""Adapters: the named things that tenants query, with the jobs that make, remake and delete them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from lift.errors import AdapterDeleting, AdapterExists, AdapterMissing, JobActive
from lift.ids import checked_id, new_id
from lift.values import AdapterState, JobKind, JobState
from storage.catalogue import documents as docs
from storage.catalogue import jobs, leases, revisions, schema, tenants
from storage.catalogue.checks import checked_options, checked_title
from storage.catalogue.database import Database, now
from storage.catalogue.pages import page_of
from storage.catalogue.requests import Request, forget
from storage.records import ACTIVE, Adapter, Job, Lease, Page, RevisionRef, Tenant


class Adapters:
    """What tenants ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        tenant: str,
        *,
        id: str | None,
        title: str,
        documents: Sequence[str],
        base_model: str,
        options: Mapping[str, Any],
        request_id: str = "",
    ) -> tuple[Adapter, Job]:
        """A new adapter and the job that trains its first revision; its id is made up where there is none.

        MalformedName, InvalidOption, DocumentMissing, AdapterExists, QuotaExceeded, RequestIdReused. Where the request
        id was used for the same adapter, that one and its job are returned.
        """
        content = {
            "id": id,
            "title": checked_title(title),
            "documents": list(documents),
            "base_model": base_model,
            "options": checked_options(options),
        }
        request = Request(tenant=tenant, method="CreateAdapter", request_id=request_id, content=content)
        id = new_id("adapter") if id is None else checked_id(id)
        with self._database.write() as connection:
            owner = tenants.lock(connection, tenant)
            if earlier := _made_job(connection, request, tenant):
                return _get(connection, tenant, earlier.adapter), earlier
            read = docs.require(connection, tenant, documents)
            if _row(connection, tenant, id):
                raise AdapterExists(adapter=id)
            _hold_to_quotas(connection, owner, new_adapters=1)
            job = jobs.add(connection, tenant=tenant, adapter=id, kind=JobKind.TRAIN, documents=read, options=options)
            values = {"tenant": tenant, "id": id, "title": title, "base_model": base_model, "job": job.id}
            state = AdapterState.TRAINING
            connection.execute(insert(schema.adapters).values(**values, state=state, created_at=now(connection)))
            docs.link(connection, tenant, id, read)
            request.remember(connection, job.id)
            return _get(connection, tenant, id), job

    def get(self, tenant: str, id: str, *, with_documents: bool = True) -> Adapter:
        """The adapter, its documents left out where they are not wanted: there may be many. AdapterMissing."""
        with self._database.read() as connection:
            if with_documents:
                return _get(connection, tenant, id)
            return _record(_existing(connection, tenant, id), ())

    def ready(self, tenant: str) -> Sequence[tuple[str, datetime]]:
        """Ids and creation times of all adapters that have a revision, newest first."""
        a = schema.adapters
        query = select(a.c.id, a.c.created_at).where(a.c.tenant == tenant, a.c.current_revision.is_not(None))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(a.c.created_at.desc(), a.c.id.desc()))
            return [(row.id, row.created_at) for row in rows]

    def list(self, tenant: str, page_size: int = 0, page_token: str = "") -> Page[Adapter]:
        """One page, newest first. InvalidOption, MalformedPageToken."""
        a = schema.adapters
        query = select(a).where(a.c.tenant == tenant)
        with self._database.read() as connection:
            page = page_of(
                connection,
                query,
                (a.c.created_at, a.c.id),
                page_size=page_size,
                page_token=page_token,
                record=partial(_record, documents=()),
            )
            documents = docs.linked(connection, tenant, [adapter.id for adapter in page.items])
        items = tuple(replace(adapter, documents=documents.get(adapter.id, ())) for adapter in page.items)
        return replace(page, items=items)

    def retrain(
        self,
        tenant: str,
        id: str,
        documents: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        request_id: str = "",
    ) -> Job:
        """The job that trains a new revision; what is None stays as it was.

        Where the newest job failed or was cancelled and nothing changes, that job is resumed. AdapterMissing,
        AdapterDeleting, JobActive(job=…), DocumentMissing, InvalidOption, QuotaExceeded, RequestIdReused.
        """
        documents = None if documents is None else list(documents)
        options = None if options is None else checked_options(options)
        content = {"adapter": id, "documents": documents, "options": options}
        request = Request(tenant=tenant, method="RetrainAdapter", request_id=request_id, content=content)
        with self._database.write() as connection:
            owner = tenants.lock(connection, tenant)
            if earlier := _made_job(connection, request, tenant):
                return earlier
            adapter = _get(connection, tenant, id)
            newest = _ended_job(connection, adapter)
            _hold_to_quotas(connection, owner)
            job = _retrained(connection, adapter, newest, documents, options)
            state = AdapterState.READY if adapter.current_revision else AdapterState.TRAINING
            connection.execute(_update(tenant, id).values(job=job.id, state=state))
            request.remember(connection, job.id)
            return job

    def rollback(self, tenant: str, id: str, digest: str) -> Adapter:
        """The adapter, with that revision as its current one. AdapterMissing, AdapterDeleting, RevisionMissing.

        Its documents are again those that the revision was made from.
        """
        with self._database.write() as connection:
            tenants.lock(connection, tenant)
            if _get(connection, tenant, id).state is AdapterState.DELETING:
                raise AdapterDeleting(adapter=id)
            made_from = revisions.made_from(connection, RevisionRef(tenant=tenant, adapter=id, digest=digest))
            # READY also where the adapter had failed, because its only revision recalled too little.
            connection.execute(_update(tenant, id).values(current_revision=digest, state=AdapterState.READY))
            docs.link(connection, tenant, id, made_from)
            return _get(connection, tenant, id)

    def start_deletion(self, tenant: str, id: str) -> Job:
        """The job that deletes the adapter; from now on the adapter can only go. AdapterMissing.

        Its training is cancelled, or asked to. A second call returns the same job while it is active.
        """
        with self._database.write() as connection:
            tenants.lock(connection, tenant)
            newest = jobs.find(connection, tenant, _get(connection, tenant, id).job)
            if newest and newest.kind is JobKind.DELETE and newest.state.active:
                return newest
            connection.execute(_update(tenant, id).values(state=AdapterState.DELETING))
            if newest:
                jobs.cancel(connection, tenant, newest.id)
            job = jobs.add(connection, tenant=tenant, adapter=id, kind=JobKind.DELETE)
            connection.execute(_update(tenant, id).values(job=job.id))
            return job

    def finish_deletion(self, lease: Lease) -> None:
        """Removes the adapter with its revisions and trainings; the deleting job succeeds. LeaseLost."""
        tenant, adapter = lease.job.tenant, lease.job.adapter
        j = schema.jobs
        with self._database.write() as connection:
            tenants.lock(connection, tenant)
            leases.succeed(connection, lease)
            trainings = and_(j.c.tenant == tenant, j.c.adapter == adapter, j.c.kind == JobKind.TRAIN)
            for job in connection.execute(select(j.c.id).where(trainings)).scalars().all():
                forget(connection, tenant, job)
            connection.execute(delete(j).where(trainings))
            for part in (schema.adapter_documents, schema.revisions):
                connection.execute(delete(part).where(part.c.tenant == tenant, part.c.adapter == adapter))
            a = schema.adapters
            connection.execute(delete(a).where(a.c.tenant == tenant, a.c.id == adapter))


def _made_job(connection: Connection, request: Request, tenant: str) -> Job | None:
    made = request.made(connection)
    return None if made is None else jobs.find(connection, tenant, made)


def _ended_job(connection: Connection, adapter: Adapter) -> Job | None:
    """The adapter's newest job, which has to have ended. AdapterDeleting, JobActive."""
    if adapter.state is AdapterState.DELETING:
        raise AdapterDeleting(adapter=adapter.id)
    newest = jobs.find(connection, adapter.tenant, adapter.job)
    if newest and newest.state.active:
        raise JobActive(job=newest.id)
    return newest


def _retrained(
    connection: Connection,
    adapter: Adapter,
    newest: Job | None,
    documents: Sequence[str] | None,
    options: Mapping[str, Any] | None,
) -> Job:
    """The newest job once more where it can be resumed, else a new one."""
    if newest and newest.state in {JobState.FAILED, JobState.CANCELLED}:
        same_documents = documents is None or tuple(documents) == newest.documents
        if same_documents and (options is None or options == newest.options):
            docs.require(connection, adapter.tenant, newest.documents)
            return jobs.resume(connection, newest.id)
    if options is None:
        options = dict(newest.options) if newest else {}
    return jobs.add(
        connection,
        tenant=adapter.tenant,
        adapter=adapter.id,
        kind=JobKind.TRAIN,
        documents=docs.require(connection, adapter.tenant, adapter.documents if documents is None else documents),
        options=options,
    )


def _hold_to_quotas(connection: Connection, tenant: Tenant, *, new_adapters: int = 0) -> None:
    """Room for one more active job, and for the new adapters. QuotaExceeded."""
    if new_adapters and tenant.quotas.max_adapters:
        used = select(func.count()).where(schema.adapters.c.tenant == tenant.id)
        tenants.hold_to_quota(tenant.quotas, "max_adapters", connection.execute(used).scalar_one() + new_adapters)
    if tenant.quotas.max_active_jobs:
        j = schema.jobs
        training = and_(j.c.tenant == tenant.id, j.c.state.in_(ACTIVE), j.c.kind == JobKind.TRAIN)
        active = connection.execute(select(func.count()).where(training)).scalar_one()
        tenants.hold_to_quota(tenant.quotas, "max_active_jobs", active + 1)


def _row(connection: Connection, tenant: str, id: str) -> Row[Any] | None:
    a = schema.adapters
    return connection.execute(select(a).where(a.c.tenant == tenant, a.c.id == id)).first()


def _existing(connection: Connection, tenant: str, id: str) -> Row[Any]:
    row = _row(connection, tenant, id)
    if row is None:
        raise AdapterMissing(adapter=id)
    return row


def _get(connection: Connection, tenant: str, id: str) -> Adapter:
    row = _existing(connection, tenant, id)
    return _record(row, docs.linked(connection, tenant, [id]).get(id, ()))


def _update(tenant: str, id: str) -> Any:
    a = schema.adapters
    return update(a).where(a.c.tenant == tenant, a.c.id == id)


def _record(row: Row[Any], documents: tuple[str, ...]) -> Adapter:
    return Adapter(
        id=row.id,
        tenant=row.tenant,
        title=row.title,
        documents=documents,
        state=AdapterState(row.state),
        base_model=row.base_model,
        current_revision=row.current_revision,
        job=row.job,
        created_at=row.created_at,
    )
