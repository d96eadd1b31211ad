"""Turns the bearer secret of a call into who is calling: a tenant, or the operator."""

import asyncio
import hmac
import time
from contextvars import ContextVar
from hashlib import sha256

import structlog

from lift.errors import AdminDisabled, CredentialMissing, CredentialWrong
from storage.catalogue import Catalogue
from storage.records import Tenant

CACHE_SECONDS = 1.0
MAX_CACHED = 10_000

_caller: ContextVar[Tenant] = ContextVar("caller")


def caller() -> Tenant:
    """The tenant whose key made the call that is being served."""
    return _caller.get()


def secret_in(authorization: str) -> str:
    """The secret of an `authorization: Bearer SECRET` value. CredentialMissing."""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise CredentialMissing()
    return secret.strip()


class TenantKeys:
    """Admits tenants by their keys. A key that was found is believed for CACHE_SECONDS, so revoking is as quick."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._found: dict[bytes, tuple[float, Tenant]] = {}

    async def admit(self, authorization: str) -> None:
        """Lets a call in; what the present task does is then the tenant's. CredentialMissing, CredentialWrong."""
        tenant = await self._tenant_of(secret_in(authorization))
        structlog.contextvars.bind_contextvars(tenant=tenant.id)
        _caller.set(tenant)

    def forget(self) -> None:
        """Believes nothing any more: a key that was just revoked stops working at once."""
        self._found.clear()

    async def _tenant_of(self, secret: str) -> Tenant:
        digest = sha256(secret.encode()).digest()
        until, tenant = self._found.get(digest, (0.0, None))
        if tenant is None or until < time.monotonic():
            self._found.pop(digest, None)
            tenant = await asyncio.to_thread(self._catalogue.keys.tenant_of, secret)
            if len(self._found) >= MAX_CACHED:
                self._found.clear()
            self._found[digest] = (time.monotonic() + CACHE_SECONDS, tenant)
        return tenant


class OperatorKey:
    """Admits operators, who share one key; without one nobody is admitted."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    async def admit(self, authorization: str) -> None:
        """Lets a call in. CredentialMissing, CredentialWrong, AdminDisabled."""
        if not self._key:
            raise AdminDisabled()
        if not hmac.compare_digest(secret_in(authorization).encode(), self._key):
            raise CredentialWrong()
