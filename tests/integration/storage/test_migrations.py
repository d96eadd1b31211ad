"""The migrations make what the schema says, and only once, however many processes start together."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from storage.catalogue import Catalogue
from storage.catalogue.schema import metadata
from storage.records import Quotas

MIGRATE = """
import sys
from storage.catalogue import Catalogue
catalogue = Catalogue(sys.argv[1])
sys.stdin.readline()
catalogue.migrate()
catalogue.close()
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite'}"
    server = str(request.getfixturevalue("postgres_server")).replace("postgresql:", "postgresql+psycopg:")
    name = f"new_{tmp_path.name}".lower().replace("[", "_").replace("]", "_")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


def test_the_migrations_make_what_the_schema_says(empty_url: str) -> None:
    catalogue = Catalogue(empty_url)
    catalogue.migrate()
    catalogue.close()
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    catalogue = Catalogue(empty_url)
    catalogue.migrate()
    tenant = catalogue.tenants.create("acme", "", Quotas())
    catalogue.migrate()
    assert catalogue.tenants.get("acme") == tenant
    catalogue.close()


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], errors
