"""Training lists that are frozen without a job, and warnings beside a version's figures."""

import sqlalchemy as sa
from alembic import op

revision = "e27a40d95b16"
down_revision = "cbf0a1ced3c8"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _let_runs_have_no_job(True)
    op.add_column(
        "version_evaluations", sa.Column("preprocessing_warning", sa.JSON(), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("version_evaluations", "preprocessing_warning")
    op.execute(
        "DELETE FROM training_run_images WHERE run_id IN "
        "(SELECT id FROM training_runs WHERE job_id IS NULL)"
    )
    op.execute("DELETE FROM training_runs WHERE job_id IS NULL")
    _let_runs_have_no_job(False)


def _let_runs_have_no_job(may_have_none: bool) -> None:
    # SQLite writes the table anew from what it reflects, which leaves out that ids never return.
    with op.batch_alter_table(
        "training_runs", table_kwargs={"sqlite_autoincrement": True}
    ) as table:
        table.alter_column("job_id", existing_type=ID, nullable=may_have_none)
