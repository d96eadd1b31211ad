"""Documents' descriptions, and which adapters are made from them. Their bytes are in the object store."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Text, and_, cast, delete, exists, func, insert, or_, select

from lift.errors import DocumentExists, DocumentInUse, DocumentMissing, InvalidOption
from lift.ids import new_id
from lift.limits import MAX_ADAPTER_BYTES
from lift.values import AdapterState
from storage.catalogue import schema, tenants
from storage.catalogue.checks import checked_title
from storage.catalogue.database import Database, now
from storage.catalogue.pages import page_of
from storage.catalogue.requests import Request, forget
from storage.records import ACTIVE, Document, Page, Tenant

_IDS_AT_ONCE = 1000


class Documents:
    """What tenants want the model to know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        tenant: str,
        *,
        title: str,
        media_type: str,
        sha256: str,
        size_bytes: int,
        request_id: str = "",
        put: Callable[[str], object],
    ) -> Document:
        """A new document, whose bytes `put(id)` stores once nothing speaks against it and before anybody sees it.

        DocumentExists(document=…), QuotaExceeded, RequestIdReused, InvalidOption, and whatever `put` raises. Where the
        request id was used for the same document, that one is returned.
        """
        new = {"title": checked_title(title), "media_type": media_type, "sha256": sha256, "size_bytes": size_bytes}
        request = Request(tenant=tenant, method="CreateDocument", request_id=request_id, content=new)
        # Storing may take long, and on SQLite nobody else writes meanwhile: so the checks are made before and after.
        with self._database.write() as connection:
            if earlier := _earlier(connection, tenants.lock(connection, tenant), request, sha256, size_bytes):
                return earlier
        id = new_id("doc")
        put(id)
        with self._database.write() as connection:
            if earlier := _earlier(connection, tenants.lock(connection, tenant), request, sha256, size_bytes):
                return earlier
            values = {"tenant": tenant, "id": id, **new, "created_at": now(connection)}
            query = insert(schema.documents).values(**values).returning(schema.documents)
            document = _record(connection.execute(query).one())
            request.remember(connection, document.id)
            return document

    def get(self, tenant: str, id: str) -> Document:
        """DocumentMissing."""
        with self._database.read() as connection:
            return _get(connection, tenant, id)

    def list(self, tenant: str, page_size: int = 0, page_token: str = "") -> Page[Document]:
        """One page, newest first. InvalidOption, MalformedPageToken."""
        d = schema.documents
        query = select(d).where(d.c.tenant == tenant)
        with self._database.read() as connection:
            return page_of(
                connection,
                query,
                (d.c.created_at, d.c.id),
                page_size=page_size,
                page_token=page_token,
                record=_record,
            )

    def delete(self, tenant: str, id: str) -> Document:
        """Deletes the description and returns it, so that the caller can delete the bytes.

        DocumentMissing; DocumentInUse(adapter=…): an adapter or one of its revisions is made from it, or an active job
        reads it.
        """
        with self._database.write() as connection:
            tenants.lock(connection, tenant)
            document = _get(connection, tenant, id)
            if adapter := _user_of(connection, tenant, id):
                raise DocumentInUse(document=id, adapter=adapter)
            d = schema.documents
            connection.execute(delete(d).where(d.c.tenant == tenant, d.c.id == id))
            forget(connection, tenant, id)
            return document


def require(connection: Connection, tenant: str, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids of a non-empty list of different documents, all the tenant's and together what a trainer can send.

    InvalidOption, DocumentMissing.
    """
    if not ids:
        raise InvalidOption(option="documents", problem="at least one is needed")
    if len(set(ids)) < len(ids):
        raise InvalidOption(option="documents", problem="one is named twice")
    found = _sizes(connection, tenant, ids)
    if missing := next((id for id in ids if id not in found), None):
        raise DocumentMissing(document=missing)
    if (size_bytes := sum(found.values())) > MAX_ADAPTER_BYTES:
        expected = f"at most {MAX_ADAPTER_BYTES} bytes in all"
        raise InvalidOption(option="documents", value=size_bytes, expected=expected)
    return tuple(ids)


def link(connection: Connection, tenant: str, adapter: str, ids: Sequence[str]) -> None:
    """Makes these, in this order, the documents of the adapter."""
    links = schema.adapter_documents
    connection.execute(delete(links).where(links.c.tenant == tenant, links.c.adapter == adapter))
    rows = [{"tenant": tenant, "adapter": adapter, "position": n, "document": id} for n, id in enumerate(ids)]
    if rows:
        connection.execute(insert(links), rows)


def linked(connection: Connection, tenant: str, adapters: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The documents of each of the adapters."""
    links = schema.adapter_documents
    query = select(links).where(links.c.tenant == tenant, links.c.adapter.in_(adapters)).order_by(links.c.position)
    found: dict[str, list[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.adapter, []).append(row.document)
    return {adapter: tuple(ids) for adapter, ids in found.items()}


def _sizes(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, int]:
    """Bytes of each of the documents that is there."""
    d = schema.documents
    sizes: dict[str, int] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = d.c.id.in_(ids[start : start + _IDS_AT_ONCE])
        for row in connection.execute(select(d.c.id, d.c.size_bytes).where(d.c.tenant == tenant, some)):
            sizes[row.id] = row.size_bytes
    return sizes


def _earlier(connection: Connection, tenant: Tenant, request: Request, sha256: str, size_bytes: int) -> Document | None:
    """The document that the request id made before; None where a new one may be made."""
    if (made := request.made(connection)) is not None:
        return _get(connection, tenant.id, made)
    d = schema.documents
    same = select(d.c.id).where(d.c.tenant == tenant.id, d.c.sha256 == sha256)
    if (existing := connection.execute(same).scalar_one_or_none()) is not None:
        raise DocumentExists(document=existing)
    if tenant.quotas.max_documents or tenant.quotas.max_document_bytes:
        used = select(func.count(), func.coalesce(func.sum(d.c.size_bytes), 0)).where(d.c.tenant == tenant.id)
        count, bytes_used = connection.execute(used).one()
        tenants.hold_to_quota(tenant.quotas, "max_documents", count + 1)
        tenants.hold_to_quota(tenant.quotas, "max_document_bytes", int(bytes_used) + size_bytes)
    return None


def _user_of(connection: Connection, tenant: str, id: str) -> str | None:
    """An adapter that has the document, an active job that reads it, or a revision made from it; None: there is none.

    Revisions of an adapter that is being deleted do not count.
    """
    links, a, r, j = schema.adapter_documents, schema.adapters, schema.revisions, schema.jobs
    query = select(links.c.adapter).where(links.c.tenant == tenant, links.c.document == id).limit(1)
    if (adapter := connection.execute(query).scalar_one_or_none()) is not None:
        return str(adapter)
    has_revision = exists().where(r.c.tenant == j.c.tenant, r.c.adapter == j.c.adapter, r.c.job == j.c.id)
    stays = exists().where(a.c.tenant == j.c.tenant, a.c.id == j.c.adapter, a.c.state != AdapterState.DELETING)
    named = cast(j.c.documents, Text).contains(f'"{id}"')
    query = (
        select(j.c.adapter)
        .where(j.c.tenant == tenant, named, or_(j.c.state.in_(ACTIVE), and_(has_revision, stays)))
        .limit(1)
    )
    adapter = connection.execute(query).scalar_one_or_none()
    return None if adapter is None else str(adapter)


def _get(connection: Connection, tenant: str, id: str) -> Document:
    d = schema.documents
    row = connection.execute(select(d).where(d.c.tenant == tenant, d.c.id == id)).first()
    if row is None:
        raise DocumentMissing(document=id)
    return _record(row)


def _record(row: Row[Any]) -> Document:
    return Document(
        id=row.id,
        tenant=row.tenant,
        title=row.title,
        media_type=row.media_type,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
    )
