"""The object store on any S3-compatible server (SeaweedFS, MinIO, AWS…), through the `minio` client."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, S3Error, ServerError

from lift.errors import InvalidOption, ObjectMissing, StoreUnavailable
from lift.settings import ObjectSettings

T = TypeVar("T")

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_CONNECTIONS = 32
_CHUNK_BYTES = 1 << 20
_RETRY_STATUSES = (500, 502, 503, 504)
_MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject"}


class S3Objects:
    """Objects in one bucket, which is made at the first put; safe to use from several threads."""

    def __init__(self, settings: ObjectSettings) -> None:
        """InvalidOption: the endpoint is none."""
        # The client's own pool would wait for 5 minutes, five times.
        retries = urllib3.Retry(total=2, connect=1, read=1, backoff_factor=0.2, status_forcelist=_RETRY_STATUSES)
        self._pool = urllib3.PoolManager(
            maxsize=_CONNECTIONS,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=retries,
        )
        self._bucket = settings.bucket
        secret = settings.secret_key.get_secret_value()
        try:
            self._client = Minio(
                settings.endpoint,
                access_key=settings.access_key if secret else None,  # without a secret the server is asked as anybody
                secret_key=secret or None,
                secure=settings.secure,
                region=settings.region,
                http_client=self._pool,
            )
        except ValueError as error:
            expected = "host:port, without http:// and without a path"
            raise InvalidOption(option="objects.endpoint", value=settings.endpoint, expected=expected) from error

    def put(self, key: str, data: bytes) -> None:
        self._in_bucket(key, lambda: self._client.put_object(self._bucket, key, io.BytesIO(data), len(data)))

    def put_file(self, key: str, path: Path) -> None:
        self._in_bucket(key, lambda: self._client.fput_object(self._bucket, key, str(path)))

    def get(self, key: str) -> bytes:
        return b"".join(self.stream(key, _CHUNK_BYTES))

    def size(self, key: str) -> int | None:
        try:
            with _translated(key):
                return int(self._client.stat_object(self._bucket, key).size)
        except ObjectMissing:
            return None

    def list(self, prefix: str) -> Iterator[str]:
        try:
            with _translated(prefix):
                for found in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                    yield found.object_name
        except ObjectMissing:  # the bucket is made at the first put
            return

    def delete(self, keys: Iterable[str]) -> None:
        targets = [DeleteObject(key) for key in keys]
        failed = []
        with suppress(ObjectMissing), _translated(self._bucket):
            # Lazy: nothing is deleted until the errors are asked for.
            failed = [
                error for error in self._client.remove_objects(self._bucket, targets) if error.code not in _MISSING
            ]
        if failed:
            raise StoreUnavailable(code=str(failed[0].code), objects=len(failed))

    def stream(self, key: str, chunk_bytes: int) -> Iterator[bytes]:
        yield from self.stream_part(key, chunk_bytes, start=0, size=0)

    def stream_part(self, key: str, chunk_bytes: int, *, start: int, size: int) -> Iterator[bytes]:
        """As `stream`, of `size` bytes from `start` on; a size of 0 means all that follow."""
        with _translated(key):
            response = self._client.get_object(self._bucket, key, offset=start, length=size)
            try:
                yield from response.stream(chunk_bytes)
            finally:
                response.close()
                response.release_conn()

    def close(self) -> None:
        """Closes all connections."""
        self._pool.clear()

    def _in_bucket(self, key: str, put: Callable[[], Any]) -> None:
        try:
            with _translated(key):
                put()
        except ObjectMissing:
            with _translated(key):
                self._make_bucket()
                put()

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code in _MISSING:
            raise ObjectMissing(key=key) from error
        # Overloaded, or it refuses the key or the bucket: either is for its operator to mend, and no object's fault.
        raise StoreUnavailable(code=str(error.code)) from error
    except (urllib3.exceptions.HTTPError, ServerError, InvalidResponseError) as error:
        raise StoreUnavailable(problem=type(error).__name__) from error
