"""Where things are in the object store: every key starts with the tenant, so no two tenants share one."""

import re

from lift.errors import MalformedName
from storage.records import RevisionRef

PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What stands between two slashes."""


def document(tenant: str, id: str, sha256: str) -> str:
    """A document's bytes. The id keeps the same bytes, deleted and uploaded again, apart."""
    return _joined(tenant, "documents", id, sha256)


def document_prefix(tenant: str, id: str) -> str:
    """Prefix of a document's bytes, whatever they are."""
    return _joined(tenant, "documents", id) + "/"


def tenant(tenant: str) -> tuple[str, ...]:
    """Prefixes of everything of a tenant's."""
    return tuple(_joined(tenant, kind) + "/" for kind in ("documents", "adapters", "journals"))


def revision(ref: RevisionRef, file: str) -> str:
    """One file of a revision. MalformedName: a file name with a separator, or that starts with a dot."""
    return _joined(ref.tenant, "adapters", ref.adapter, "revisions", ref.digest, file)


def revision_prefix(ref: RevisionRef) -> str:
    """Prefix of all files of a revision."""
    return _joined(ref.tenant, "adapters", ref.adapter, "revisions", ref.digest) + "/"


def knowledge(ref: RevisionRef) -> str:
    """What a revision knows of its documents."""
    return _joined(ref.tenant, "adapters", ref.adapter, "knowledge", f"{ref.digest}.jsonl")


def revisions(tenant: str, adapter: str) -> str:
    """Prefix of all revisions of an adapter."""
    return _joined(tenant, "adapters", adapter, "revisions") + "/"


def adapter(tenant: str, adapter: str) -> str:
    """Prefix of all revisions of an adapter, and of what they know."""
    return _joined(tenant, "adapters", adapter) + "/"


def journal(tenant: str, job: str) -> str:
    """Prefix of the chunks of a job's journal."""
    return _joined(tenant, "journals", job) + "/"


def _joined(*parts: str) -> str:
    for part in parts:
        if not PART.fullmatch(part):
            raise MalformedName(name=part[:80])
    return "/".join(parts)
