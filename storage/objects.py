"""The object store's seam: named bytes that are written once. `storage.s3` and `storage.memory` implement it.

Keys come from `storage.keys` and start with the tenant. Errors: ObjectMissing, StoreUnavailable.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol


class ObjectStore(Protocol):
    """Whole objects by key; a put is visible at once, and entirely or not at all."""

    def put(self, key: str, data: bytes) -> None:
        """Stores bytes."""

    def put_file(self, key: str, path: Path) -> None:
        """Stores a file's bytes."""

    def get(self, key: str) -> bytes:
        """All bytes. ObjectMissing."""

    def size(self, key: str) -> int | None:
        """Size in bytes; None where there is no such object."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with the prefix, in lexical order."""

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes objects; those that are missing are deleted already."""

    def stream(self, key: str, chunk_bytes: int) -> Iterator[bytes]:
        """All bytes in chunks of at most that size. ObjectMissing before the first chunk."""
