"""Tenants, and the lock that makes one tenant's changes happen one after another."""

from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from lift.errors import InvalidOption, QuotaExceeded, TenantExists, TenantInUse, TenantMissing
from lift.ids import checked_id, new_id
from lift.values import Quotas
from storage.catalogue import schema
from storage.catalogue.checks import checked_title
from storage.catalogue.database import Database, now
from storage.catalogue.pages import page_of
from storage.records import Page, Tenant


class Tenants:
    """Who owns documents and adapters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, id: str | None, title: str, quotas: Quotas) -> Tenant:
        """A new tenant; its id is made up where there is none. TenantExists, MalformedName, InvalidOption."""
        id = new_id("tenant") if id is None else checked_id(id)
        values = {"id": id, "title": checked_title(title), **_checked_quotas(quotas)}
        try:
            with self._database.write() as connection:
                query = insert(schema.tenants).values(**values, created_at=now(connection)).returning(schema.tenants)
                return record(connection.execute(query).one())
        except IntegrityError as error:
            raise TenantExists(tenant=id) from error

    def get(self, id: str) -> Tenant:
        """TenantMissing."""
        with self._database.read() as connection:
            return get(connection, id)

    def list(self, page_size: int = 0, page_token: str = "") -> Page[Tenant]:
        """One page, newest first. InvalidOption, MalformedPageToken."""
        t = schema.tenants
        with self._database.read() as connection:
            return page_of(
                connection,
                select(t),
                (t.c.created_at, t.c.id),
                page_size=page_size,
                page_token=page_token,
                record=record,
            )

    def update(self, id: str, title: str, quotas: Quotas) -> Tenant:
        """Replaces title and quotas; what is there already stays, whatever the new quotas are. TenantMissing."""
        values = {"title": checked_title(title), **_checked_quotas(quotas)}
        t = schema.tenants
        with self._database.write() as connection:
            row = connection.execute(update(t).where(t.c.id == id).values(**values).returning(t)).first()
        if row is None:
            raise TenantMissing(tenant=id)
        return record(row)

    def delete(self, id: str) -> None:
        """Deletes the tenant, its keys and the memory of its jobs. TenantMissing, TenantInUse."""
        with self._database.write() as connection:
            lock(connection, id)
            for owned in (schema.documents, schema.adapters):
                if connection.execute(select(exists().where(owned.c.tenant == id))).scalar_one():
                    raise TenantInUse(tenant=id)
            for owned in (schema.keys, schema.jobs, schema.requests):
                connection.execute(delete(owned).where(owned.c.tenant == id))
            connection.execute(delete(schema.tenants).where(schema.tenants.c.id == id))


def lock(connection: Connection, id: str) -> Tenant:
    """The tenant, whose things nobody else changes until this transaction ends. TenantMissing."""
    # FOR NO KEY UPDATE: rows that refer to the tenant can still be written meanwhile.
    row = connection.execute(_row(id).with_for_update(key_share=True)).first()
    if row is None:
        raise TenantMissing(tenant=id)
    return record(row)


def get(connection: Connection, id: str) -> Tenant:
    """TenantMissing."""
    row = connection.execute(_row(id)).first()
    if row is None:
        raise TenantMissing(tenant=id)
    return record(row)


def hold_to_quota(quotas: Quotas, quota: str, used: int) -> None:
    """QuotaExceeded where `used`, with the new thing counted in, is over the quota of that name."""
    limit = getattr(quotas, quota)
    if limit and used > limit:
        raise QuotaExceeded(quota=quota, limit=limit)


def record(row: Row[Any]) -> Tenant:
    """A tenant's row as a value."""
    quotas = Quotas(**{field.name: getattr(row, field.name) for field in fields(Quotas)})
    return Tenant(id=row.id, title=row.title, quotas=quotas, created_at=row.created_at)


def _row(id: str) -> Select[Any]:
    return select(schema.tenants).where(schema.tenants.c.id == id)


def _checked_quotas(quotas: Quotas) -> dict[str, int]:
    values: dict[str, int] = asdict(quotas)
    for name, value in values.items():
        if not 0 <= value < 1 << 63:
            raise InvalidOption(option=name, value=value)
    return values
