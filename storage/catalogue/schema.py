"""The catalogue's tables. `migrations/` makes them; a test holds the two together.

What a tenant can name has the tenant in its primary key, so that one tenant's ids say nothing about another's.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class UtcTime(TypeDecorator[datetime]):
    """Aware datetimes in UTC; SQLite keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Line(TypeDecorator[str]):
    """Text. PostgreSQL keeps no NUL: one becomes U+FFFD, which no id holds, so that it names nothing."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else str(value).encode(errors="replace").decode().replace("\0", "\ufffd")


metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_one_%(column_0_N_name)s",
        "fk": "%(table_name)s_of_%(referred_table_name)s",
        "pk": "%(table_name)s_key",
    }
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Line, primary_key=True),
    Column("title", Line, nullable=False),
    Column("max_documents", BigInteger, nullable=False),
    Column("max_document_bytes", BigInteger, nullable=False),
    Column("max_adapters", BigInteger, nullable=False),
    Column("max_active_jobs", BigInteger, nullable=False),
    Column("max_concurrent_queries", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "created_at", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Line, primary_key=True),
    Column("tenant", Line, ForeignKey("tenants.id"), nullable=False),
    Column("title", Line, nullable=False),
    Column("secret_sha256", Line, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Index(None, "secret_sha256", unique=True),
    Index(None, "tenant", "created_at"),
)

documents = Table(
    "documents",
    metadata,
    Column("tenant", Line, ForeignKey("tenants.id"), primary_key=True),
    Column("id", Line, primary_key=True),
    Column("title", Line, nullable=False),
    Column("media_type", Line, nullable=False),
    Column("sha256", Line, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "tenant", "sha256", unique=True),
    Index(None, "tenant", "created_at", "id"),
)

adapters = Table(
    "adapters",
    metadata,
    Column("tenant", Line, ForeignKey("tenants.id"), primary_key=True),
    Column("id", Line, primary_key=True),
    Column("title", Line, nullable=False),
    Column("state", Line, nullable=False),
    Column("base_model", Line, nullable=False),
    Column("current_revision", Line),
    Column("job", Line, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "tenant", "created_at", "id"),
)

adapter_documents = Table(
    "adapter_documents",
    metadata,
    Column("tenant", Line, primary_key=True),
    Column("adapter", Line, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("document", Line, nullable=False),
    ForeignKeyConstraint(["tenant", "adapter"], ["adapters.tenant", "adapters.id"]),
    ForeignKeyConstraint(["tenant", "document"], ["documents.tenant", "documents.id"]),
    Index(None, "tenant", "document"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("tenant", Line, primary_key=True),
    Column("adapter", Line, primary_key=True),
    Column("digest", Line, primary_key=True),
    Column("job", Line, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("base_model", Line, nullable=False),
    Column("base_model_revision", Line, nullable=False),
    Column("sentences", Integer, nullable=False),
    Column("pairs", Integer, nullable=False),
    Column("final_loss", Double),  # null where it is not a number
    Column("recall", Double),
    Column("coverage", Double),
    Column("retention", Double),
    Column("losses", JSON, nullable=False, server_default="[]"),
    Column("created_at", UtcTime, nullable=False),
    ForeignKeyConstraint(["tenant", "adapter"], ["adapters.tenant", "adapters.id"]),
    Index(None, "tenant", "adapter", "created_at", "digest"),
    Index(None, "base_model", "created_at"),
)

# A job outlives its adapter: the operation that deleted the adapter can still be read. Hence no key to adapters.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Line, primary_key=True),
    Column("tenant", Line, ForeignKey("tenants.id"), nullable=False),
    Column("adapter", Line, nullable=False),
    Column("kind", Line, nullable=False),
    Column("documents", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("state", Line, nullable=False),
    Column("reason", Line, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("progress", JSON, nullable=False),
    Column("revision", Line),
    Column("cancel_requested", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),  # of the first attempt; it and `worker` are for operators
    Column("ended_at", UtcTime),
    Column("next_attempt_at", UtcTime),
    Column("worker", Line, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("lease_expires_at", UtcTime),
    Column("woken_at", UtcTime),
    Column("hidden", Boolean, nullable=False),  # deleted by the tenant; its journal is still there
    Index(None, "tenant", "created_at", "id"),
    Index(None, "tenant", "adapter"),
    Index(None, "tenant", "state"),
    Index(None, "state", "kind", "created_at"),
)

requests = Table(
    "requests",
    metadata,
    Column("tenant", Line, ForeignKey("tenants.id"), primary_key=True),
    Column("method", Line, primary_key=True),
    Column("request_sha256", Line, primary_key=True),
    Column("content_sha256", Line, nullable=False),
    Column("made", Line, nullable=False),
    Index(None, "tenant", "made"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Line, primary_key=True),
    Column("address", Line, nullable=False),
    Column("base_model", Line, nullable=False),
    Column("base_model_revision", Line, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("answers_at_once", Integer, server_default="64", nullable=False),  # of engines that do not say
    Column("draining", Boolean, nullable=False),
    Column("heartbeat_at", UtcTime, nullable=False),
)

residents = Table(
    "residents",
    metadata,
    Column("node", Line, ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("tenant", Line, nullable=False),
    Column("adapter", Line, nullable=False),
    Column("digest", Line, nullable=False),
    Index(None, "tenant", "adapter", "digest"),
)
