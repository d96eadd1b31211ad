"""Admits the callers of an internal port: nodes of the same deployment, who share one token."""

import hmac

from lift.errors import CredentialMissing, CredentialWrong


class NodeToken:
    """The shared token; where none is set, everybody who reaches the port is let in."""

    def __init__(self, token: str) -> None:
        self._expected = token.encode()

    def check(self, secret: str) -> None:
        """CredentialWrong: it is not the token."""
        if self._expected and not hmac.compare_digest(secret.encode(), self._expected):
            raise CredentialWrong()

    async def admit(self, authorization: str) -> None:
        """Lets a call with that `authorization` value in. CredentialMissing, CredentialWrong."""
        scheme, _, secret = authorization.partition(" ")
        if self._expected and (scheme.lower() != "bearer" or not secret.strip()):
            raise CredentialMissing()
        self.check(secret.strip())
