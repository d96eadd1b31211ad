"""What revisions know: coverage, retention and the curve of the loss."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("revisions") as table:
        table.add_column(sa.Column("coverage", sa.Double(), nullable=True))
        table.add_column(sa.Column("retention", sa.Double(), nullable=True))
        table.add_column(sa.Column("losses", sa.JSON(), server_default="[]", nullable=False))
