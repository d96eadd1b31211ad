"""Turns a URL into transactions that read and transactions that write, alike on SQLite and PostgreSQL.

Whoever writes more than one row of a tenant's locks the tenant's row first (`tenants.lock`), so that quotas hold and
nobody deadlocks. On SQLite a writer holds the whole file from its first statement (BEGIN IMMEDIATE): what it has read
is still true when it writes.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lift.errors import CatalogueUnavailable, InvalidOption

_BUSY_SECONDS = 30
_POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""libpq's, in seconds, the last in milliseconds: whoever waits for a host that vanishes waits for 15 to 20 s."""
_POOL_OVERFLOW = 32
_MIGRATION_LOCK = 0x6C696674  # "lift"


class Database:
    """One database, through a pool of connections; safe to use from several threads."""

    def __init__(self, url: str, kept_connections: int) -> None:
        """InvalidOption: the URL is of neither."""
        self._engine = _engine(_parsed(url), kept_connections)
        self._writer = self._engine.execution_options(lift_write=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block, or rolled back where the block fails."""
        with _translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def migration(self) -> Iterator[Connection]:
        """A transaction that no other process migrates beside."""
        if self._engine.dialect.name == "sqlite":
            self._keep_write_ahead_log()
        with self.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            yield connection

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _keep_write_ahead_log(self) -> None:
        # The mode stays in the file. SQLite does not wait for others here, whatever its busy timeout is.
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                with closing(self._engine.raw_connection()) as connection:
                    connection.cursor().execute("PRAGMA journal_mode = WAL")
                    return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise CatalogueUnavailable() from error
                time.sleep(0.02)


def now(connection: Connection) -> datetime:
    """The one clock that leases and times are measured by: PostgreSQL's, or this machine's where the file is."""
    if connection.dialect.name == "postgresql":
        clock: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return clock.astimezone(UTC)
    return datetime.now(UTC)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is not None and parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed is None or parsed.drivername not in {"sqlite", "postgresql+psycopg"}:  # not quoted: it holds a password
        raise InvalidOption(option="catalogue.url", expected="sqlite:///… or postgresql+psycopg://…") from None
    return parsed


def _engine(url: URL, kept_connections: int) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(
        url,
        pool_size=kept_connections,
        max_overflow=_POOL_OVERFLOW,
        pool_pre_ping=not sqlite,
        connect_args={"timeout": _BUSY_SECONDS} if sqlite else _POSTGRESQL,
    )
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event begins, not the driver
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("lift_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise CatalogueUnavailable() from error
