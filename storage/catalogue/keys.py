"""Keys: what a tenant's calls are authenticated with. Only the SHA-256 of a secret is kept.

A secret has 256 random bits, so a plain hash of it can neither be guessed nor looked up in a table.
"""

import secrets
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from lift.errors import CredentialWrong, KeyMissing
from lift.ids import new_id
from storage.catalogue import schema, tenants
from storage.catalogue.checks import checked_title
from storage.catalogue.database import Database, now
from storage.catalogue.pages import MAX_SIZE, page_of
from storage.records import Key, Page, Tenant


class Keys:
    """Credentials of tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant: str, title: str) -> tuple[Key, str]:
        """A new key and its secret, which is kept nowhere: "lift_" and 43 URL-safe characters. TenantMissing."""
        secret = f"lift_{secrets.token_urlsafe(32)}"
        values = {"id": new_id("key"), "tenant": tenant, "title": checked_title(title), "secret_sha256": _hash(secret)}
        with self._database.write() as connection:
            tenants.lock(connection, tenant)
            query = insert(schema.keys).values(**values, created_at=now(connection)).returning(schema.keys)
            return _record(connection.execute(query).one()), secret

    def list(self, tenant: str, page_size: int = 0, page_token: str = "") -> Page[Key]:
        """One page of the tenant's keys, revoked ones too, newest first; a size of 0 is the largest.

        TenantMissing, InvalidOption, MalformedPageToken.
        """
        k = schema.keys
        with self._database.read() as connection:
            tenants.get(connection, tenant)
            return page_of(
                connection,
                select(k).where(k.c.tenant == tenant),
                (k.c.created_at, k.c.id),
                page_size=page_size or MAX_SIZE,
                page_token=page_token,
                record=_record,
            )

    def revoke(self, tenant: str, key: str) -> None:
        """Makes the key useless at once; one that was revoked stays as it is. KeyMissing."""
        k = schema.keys
        with self._database.write() as connection:
            revoked_at = func.coalesce(k.c.revoked_at, now(connection))
            query = update(k).where(k.c.tenant == tenant, k.c.id == key).values(revoked_at=revoked_at)
            if not connection.execute(query).rowcount:
                raise KeyMissing(key=key)

    def tenant_of(self, secret: str) -> Tenant:
        """The tenant whose key has this secret. CredentialWrong: no key has it, or it was revoked."""
        query = (
            select(schema.tenants)
            .join(schema.keys, schema.keys.c.tenant == schema.tenants.c.id)
            .where(schema.keys.c.secret_sha256 == _hash(secret), schema.keys.c.revoked_at.is_(None))
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise CredentialWrong()
        return tenants.record(row)


def _hash(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


def _record(row: Row[Any]) -> Key:
    return Key(id=row.id, tenant=row.tenant, title=row.title, created_at=row.created_at, revoked_at=row.revoked_at)
