"""The object store's in-memory twin: for tests, and for trying things out without a server."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from lift.errors import ObjectMissing


class MemoryObjects:
    """Objects in a dictionary; safe to use from several threads."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._objects[key] = bytes(data)

    def put_file(self, key: str, path: Path) -> None:
        self.put(key, path.read_bytes())

    def get(self, key: str) -> bytes:
        with self._lock:
            if key not in self._objects:
                raise ObjectMissing(key=key)
            return self._objects[key]

    def size(self, key: str) -> int | None:
        with self._lock:
            return len(self._objects[key]) if key in self._objects else None

    def list(self, prefix: str) -> Iterator[str]:
        with self._lock:
            keys = sorted(key for key in self._objects if key.startswith(prefix))
        yield from keys

    def delete(self, keys: Iterable[str]) -> None:
        for key in tuple(keys):
            with self._lock:
                self._objects.pop(key, None)

    def stream(self, key: str, chunk_bytes: int) -> Iterator[bytes]:
        data = self.get(key)
        for start in range(0, len(data), chunk_bytes):
            yield data[start : start + chunk_bytes]
