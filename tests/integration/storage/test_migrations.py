"""The migrations make what the schema says, and only once, however many processes start together."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

import storage.catalogue
from lift.errors import InvalidOption
from lift.values import Quotas
from storage.catalogue import Catalogue
from storage.catalogue.database import Database
from storage.catalogue.schema import metadata
from storage.records import RevisionRef

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


FIRST_ROWS = """
INSERT INTO tenants VALUES ('acme', 'Acme', 1, 2, 3, 4, 5, '2026-11-24 00:00:00');
INSERT INTO adapters VALUES ('acme', 'handbook', '', 'ready', 'm', 'd', 'job', '2026-11-24 00:00:00');
INSERT INTO revisions VALUES ('acme', 'handbook', 'd', 'job', 8, 9, 'm', 'r', 2, 4, 0.5, NULL, '2026-11-24 00:00:00');
"""
"""Of tables as the first migration makes them."""


def test_a_catalogue_of_the_first_tables_is_updated_with_what_it_holds(empty_url: str) -> None:
    first = Config()
    first.set_main_option("script_location", str(Path(storage.catalogue.__file__).parent / "migrations"))
    database = Database(empty_url, kept_connections=1)
    with database.migration() as connection:
        first.attributes["connection"] = connection
        command.upgrade(first, "0001")
        for statement in FIRST_ROWS.split(";")[:-1]:
            connection.execute(text(statement))
    database.close()
    catalogue = Catalogue(empty_url)
    catalogue.migrate()
    revision = catalogue.revisions.get(RevisionRef(tenant="acme", adapter="handbook", digest="d"))
    assert (revision.rank, revision.final_loss, revision.coverage, revision.losses) == (8, 0.5, None, ())
    assert catalogue.tenants.get("acme").quotas == Quotas(**dict(zip(asdict(Quotas()), range(1, 6), strict=True)))
    assert catalogue.adapters.get("acme", "handbook").current_revision == "d"
    catalogue.close()


def test_a_catalogue_that_a_newer_version_has_updated_is_refused(empty_url: str) -> None:
    catalogue = Catalogue(empty_url)
    catalogue.migrate()
    catalogue.close()
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(InvalidOption, match="newer version"):
        catalogue.migrate()
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
    errors = [process.communicate(timeout=240)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], errors
