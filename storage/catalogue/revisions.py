"""Revisions: which trained weights there are. Their files are in the object store."""

import math
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, insert, select

from lift.errors import AdapterMissing, RevisionMissing
from lift.values import AdapterState
from storage.catalogue import schema
from storage.catalogue.database import Database
from storage.catalogue.pages import page_of
from storage.records import Page, Revision, RevisionRef


class Revisions:
    """Trained sets of LoRA weights; `Jobs.publish` adds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, ref: RevisionRef) -> Revision:
        """RevisionMissing."""
        with self._database.read() as connection:
            row = connection.execute(select(schema.revisions).where(_named(ref))).first()
        if row is None:
            raise RevisionMissing(adapter=ref.adapter, revision=ref.digest)
        return _record(row)

    def list(self, tenant: str, adapter: str, page_size: int = 0, page_token: str = "") -> Page[Revision]:
        """One page, newest first. AdapterMissing, InvalidOption, MalformedPageToken."""
        a, r = schema.adapters, schema.revisions
        query = select(r).where(r.c.tenant == tenant, r.c.adapter == adapter)
        with self._database.read() as connection:
            if not connection.execute(select(exists().where(a.c.tenant == tenant, a.c.id == adapter))).scalar_one():
                raise AdapterMissing(adapter=adapter)
            return page_of(
                connection,
                query,
                (r.c.created_at, r.c.digest),
                page_size=page_size,
                page_token=page_token,
                record=_record,
            )

    def of_adapter(self, tenant: str, adapter: str) -> tuple[RevisionRef, ...]:
        """All revisions of the adapter."""
        r = schema.revisions
        query = select(r.c.digest).where(r.c.tenant == tenant, r.c.adapter == adapter)
        with self._database.read() as connection:
            digests = connection.execute(query).scalars()
            return tuple(RevisionRef(tenant=tenant, adapter=adapter, digest=digest) for digest in digests)

    def current(self, base_model: str, limit: int) -> tuple[RevisionRef, ...]:
        """Current revisions of the adapters that can be asked, newest first: what a new engine is filled with."""
        a, r = schema.adapters, schema.revisions
        is_current = and_(a.c.tenant == r.c.tenant, a.c.id == r.c.adapter, a.c.current_revision == r.c.digest)
        query = (
            select(r.c.tenant, r.c.adapter, r.c.digest)
            .join(a, is_current)
            .where(r.c.base_model == base_model, a.c.state == AdapterState.READY)
            .order_by(r.c.created_at.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(RevisionRef(tenant=row.tenant, adapter=row.adapter, digest=row.digest) for row in rows)


def made_from(connection: Connection, ref: RevisionRef) -> tuple[str, ...]:
    """The documents of the job that made the revision. RevisionMissing."""
    r, j = schema.revisions, schema.jobs
    query = select(j.c.documents).join(r, and_(r.c.tenant == j.c.tenant, r.c.job == j.c.id)).where(_named(ref))
    documents = connection.execute(query).scalar_one_or_none()
    if documents is None:
        raise RevisionMissing(adapter=ref.adapter, revision=ref.digest)
    return tuple(documents)


def add(connection: Connection, revision: Revision) -> None:
    """Inserts the revision; the same weights of the same adapter are there only once."""
    if connection.execute(select(exists().where(_named(revision.ref)))).scalar_one():
        return
    finite = math.isfinite(revision.final_loss)
    query = insert(schema.revisions).values(
        tenant=revision.ref.tenant,
        adapter=revision.ref.adapter,
        digest=revision.ref.digest,
        job=revision.job,
        rank=revision.rank,
        size_bytes=revision.size_bytes,
        base_model=revision.base_model,
        base_model_revision=revision.base_model_revision,
        sentences=revision.sentences,
        pairs=revision.pairs,
        final_loss=revision.final_loss if finite else None,
        recall=revision.recall,
        coverage=revision.coverage,
        retention=revision.retention,
        losses=list(revision.losses),
        created_at=revision.created_at,
    )
    connection.execute(query)


def _named(ref: RevisionRef) -> Any:
    r = schema.revisions
    return and_(r.c.tenant == ref.tenant, r.c.adapter == ref.adapter, r.c.digest == ref.digest)


def _record(row: Row[Any]) -> Revision:
    return Revision(
        ref=RevisionRef(tenant=row.tenant, adapter=row.adapter, digest=row.digest),
        job=row.job,
        rank=row.rank,
        size_bytes=row.size_bytes,
        base_model=row.base_model,
        base_model_revision=row.base_model_revision,
        sentences=row.sentences,
        pairs=row.pairs,
        final_loss=math.nan if row.final_loss is None else row.final_loss,
        recall=row.recall,
        coverage=row.coverage,
        retention=row.retention,
        losses=tuple(row.losses),
        created_at=row.created_at,
    )
