"""Ids and resource names (AIP-122): what a name must look like, and new ids that sort by time."""

import re

from ulid import ULID

from lift.errors import MalformedName

SYSTEM = "system"
"""Stands for the tenant that no tenant is: owner of what belongs to the deployment."""

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def new_id(prefix: str) -> str:
    """A new id `{prefix}-{ulid}`, lower case; later ones sort after earlier ones (to the millisecond)."""
    return f"{prefix}-{str(ULID()).lower()}"


def checked_id(value: str) -> str:
    """The id itself. MalformedName: not of the form [a-z]([a-z0-9-]{0,61}[a-z0-9])? (AIP-122)."""
    if not _ID.fullmatch(value):
        raise MalformedName(id=value[:80], expected="a letter, then letters, digits and -, all lower case, at most 63")
    return value


def name_of(*parts: str) -> str:
    """A resource name: name_of("adapters", a, "revisions", r) is "adapters/{a}/revisions/{r}"."""
    return "/".join(parts)


def ids_in(name: str, *collections: str) -> tuple[str, ...]:
    """The ids in a resource name of the given collections; MalformedName where it is not of that form.

    ids_in("adapters/a/revisions/r", "adapters", "revisions") is ("a", "r").
    """
    parts = name.split("/")
    well_formed = len(parts) == 2 * len(collections) and tuple(parts[::2]) == collections and all(parts[1::2])
    if not well_formed or any(len(part) > 128 or not part.isascii() for part in parts):
        raise MalformedName(name=name[:200], expected="/".join(f"{collection}/ID" for collection in collections))
    return tuple(parts[1::2])
