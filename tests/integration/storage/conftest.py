"""Every test here runs on each database, and on each object store, that it asks for."""

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from lift.settings import ObjectSettings
from storage.catalogue import Catalogue
from storage.catalogue.schema import metadata
from storage.memory import MemoryObjects
from storage.objects import ObjectStore
from storage.s3 import S3Objects


@pytest.fixture(scope="session")
def postgres_url(postgres_server: str) -> str:
    """A migrated catalogue on PostgreSQL, which the session's tests use one after another."""
    engine = create_engine(_driven(postgres_server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))  # nothing here has to outlive the machine
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()
    catalogue = Catalogue(postgres_server)
    catalogue.migrate()
    catalogue.close()
    return postgres_server


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty catalogue."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    url = str(request.getfixturevalue("postgres_url"))
    engine = create_engine(_driven(url))
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    return url


@pytest.fixture
def catalogue(catalogue_url: str) -> Iterator[Catalogue]:
    """An empty catalogue."""
    catalogue = Catalogue(catalogue_url)
    yield catalogue
    catalogue.close()


@pytest.fixture(params=["memory", "s3"])
def objects(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """An empty object store."""
    if request.param == "memory":
        yield MemoryObjects()
        return
    settings: ObjectSettings = request.getfixturevalue("s3_settings")
    store = S3Objects(settings.model_copy(update={"bucket": f"test-{secrets.token_hex(6)}"}))
    yield store
    store.close()


def _driven(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:")
