"""Ranges of image ids that processes lease to score them."""

import sqlalchemy as sa
from alembic import op

revision = "5c0e8d27b9a4"
down_revision = "5b0e8d27c1f9"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "scan_ranges",
        sa.Column("id", ID, primary_key=True),
        sa.Column("job_id", ID, sa.ForeignKey("jobs.id")),
        sa.Column("model_version_id", ID, sa.ForeignKey("model_versions.id"), nullable=False),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("until_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("num_failures", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String()),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('todo', 'running', 'done', 'failed')", name="status"),
        sa.CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        sa.CheckConstraint("after_id < until_id", name="ids"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_scan_ranges_scan", "scan_ranges", ["job_id", "model_version_id", "split", "until_id"]
    )
    for name, status, columns in (
        ("ix_scan_ranges_todo", "todo", ["num_failures", "id"]),
        ("ix_scan_ranges_running", "running", ["lease_until"]),
    ):
        where = sa.text(f"status = '{status}'")
        op.create_index(
            name,
            "scan_ranges",
            ["job_id", "model_version_id", *columns],
            sqlite_where=where,
            postgresql_where=where,
        )


def downgrade() -> None:
    op.drop_table("scan_ranges")
