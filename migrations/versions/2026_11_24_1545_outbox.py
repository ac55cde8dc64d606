"""Events for other systems that wait to be sent."""

import sqlalchemy as sa
from alembic import op

revision = "f1b96d3a07e4"
down_revision = "c7d2f40b86a1"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "outbox_events",
        sa.Column("id", ID, primary_key=True),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("once_for", sa.String()),
        sa.Column("delivered_to", sa.JSON(), nullable=False),
        sa.Column("num_failures", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("once_for", name=op.f("uq_outbox_events_once_for")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_events_next_try_at", "outbox_events", ["next_try_at"])


def downgrade() -> None:
    op.drop_table("outbox_events")
