"""Makes creation idempotent (AIP-155): a repeated request id gives what its first use made.

The id is written in the transaction that makes the thing, so that either both are there or neither.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from lift.errors import RequestIdReused
from storage.catalogue.schema import requests


class Request:
    """One call of a creating method; one without a request id is never remembered."""

    def __init__(self, *, tenant: str, method: str, request_id: str, content: Mapping[str, Any]) -> None:
        self._request_id = request_id
        self._place = {
            "tenant": tenant,
            "method": method,
            "request_sha256": sha256(request_id.encode(errors="replace")).hexdigest(),
        }
        self._content_sha256 = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def made(self, connection: Connection) -> str | None:
        """Id of what the first use of the request id made; None where this is it. RequestIdReused."""
        if not self._request_id:
            return None
        row = connection.execute(select(requests).filter_by(**self._place)).first()
        if row is None:
            return None
        if row.content_sha256 != self._content_sha256:
            raise RequestIdReused(request_id=self._request_id[:128])
        return str(row.made)

    def remember(self, connection: Connection, made: str) -> None:
        """Keeps what this call made."""
        if self._request_id:
            connection.execute(insert(requests).values(**self._place, content_sha256=self._content_sha256, made=made))


def forget(connection: Connection, tenant: str, made: str) -> None:
    """Frees the request ids of what is no longer there."""
    connection.execute(delete(requests).filter_by(tenant=tenant, made=made))
