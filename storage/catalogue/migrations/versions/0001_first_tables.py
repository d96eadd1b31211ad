"""The first tables: tenants, keys, documents, adapters, revisions, jobs, request ids, nodes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("base_model_revision", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("nodes_key")),
    )
    op.create_table(
        "tenants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("max_documents", sa.BigInteger(), nullable=False),
        sa.Column("max_document_bytes", sa.BigInteger(), nullable=False),
        sa.Column("max_adapters", sa.BigInteger(), nullable=False),
        sa.Column("max_active_jobs", sa.BigInteger(), nullable=False),
        sa.Column("max_concurrent_queries", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("tenants_key")),
    )
    op.create_index(op.f("tenants_by_created_at_id"), "tenants", ["created_at", "id"], unique=False)
    op.create_table(
        "adapters",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("current_revision", sa.Text(), nullable=True),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("adapters_of_tenants")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("adapters_key")),
    )
    op.create_index(op.f("adapters_by_tenant_created_at_id"), "adapters", ["tenant", "created_at", "id"], unique=False)
    op.create_table(
        "documents",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("documents_of_tenants")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("documents_key")),
    )
    op.create_index(
        op.f("documents_by_tenant_created_at_id"), "documents", ["tenant", "created_at", "id"], unique=False
    )
    op.create_index(op.f("documents_by_tenant_sha256"), "documents", ["tenant", "sha256"], unique=True)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("documents", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("woken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("jobs_of_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("jobs_key")),
    )
    op.create_index(op.f("jobs_by_state_kind_created_at"), "jobs", ["state", "kind", "created_at"], unique=False)
    op.create_index(op.f("jobs_by_tenant_adapter"), "jobs", ["tenant", "adapter"], unique=False)
    op.create_index(op.f("jobs_by_tenant_created_at_id"), "jobs", ["tenant", "created_at", "id"], unique=False)
    op.create_index(op.f("jobs_by_tenant_state"), "jobs", ["tenant", "state"], unique=False)
    op.create_table(
        "keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("keys_of_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("keys_key")),
    )
    op.create_index(op.f("keys_by_secret_sha256"), "keys", ["secret_sha256"], unique=True)
    op.create_index(op.f("keys_by_tenant_created_at"), "keys", ["tenant", "created_at"], unique=False)
    op.create_table(
        "requests",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("made", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("requests_of_tenants")),
        sa.PrimaryKeyConstraint("tenant", "method", "request_sha256", name=op.f("requests_key")),
    )
    op.create_index(op.f("requests_by_tenant_made"), "requests", ["tenant", "made"], unique=False)
    op.create_table(
        "residents",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("residents_of_nodes"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node", "position", name=op.f("residents_key")),
    )
    op.create_index(
        op.f("residents_by_tenant_adapter_digest"), "residents", ["tenant", "adapter", "digest"], unique=False
    )
    op.create_table(
        "adapter_documents",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "adapter"], ["adapters.tenant", "adapters.id"], name=op.f("adapter_documents_of_adapters")
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "document"], ["documents.tenant", "documents.id"], name=op.f("adapter_documents_of_documents")
        ),
        sa.PrimaryKeyConstraint("tenant", "adapter", "position", name=op.f("adapter_documents_key")),
    )
    op.create_index(
        op.f("adapter_documents_by_tenant_document"), "adapter_documents", ["tenant", "document"], unique=False
    )
    op.create_table(
        "revisions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("base_model_revision", sa.Text(), nullable=False),
        sa.Column("sentences", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("final_loss", sa.Double(), nullable=True),
        sa.Column("recall", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "adapter"], ["adapters.tenant", "adapters.id"], name=op.f("revisions_of_adapters")
        ),
        sa.PrimaryKeyConstraint("tenant", "adapter", "digest", name=op.f("revisions_key")),
    )
    op.create_index(op.f("revisions_by_base_model_created_at"), "revisions", ["base_model", "created_at"], unique=False)
    op.create_index(
        op.f("revisions_by_tenant_adapter_created_at_digest"),
        "revisions",
        ["tenant", "adapter", "created_at", "digest"],
        unique=False,
    )
