"""What nodes can do: how many answers each writes at once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("nodes") as table:
        table.add_column(sa.Column("answers_at_once", sa.Integer(), server_default="64", nullable=False))
