"""Training runs with their frozen lists, and what versions were measured at."""

import sqlalchemy as sa
from alembic import op

revision = "e4c1d2a7f5b0"
down_revision = "b3b9a6d0c7e1"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "training_runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("start_version_id", ID, nullable=True),
        sa.Column("model_version_id", ID, nullable=True),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "verdict IN ('promoted', 'refused', 'offered')", name=op.f("ck_training_runs_verdict")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_training_runs_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["start_version_id"],
            ["model_versions.id"],
            name=op.f("fk_training_runs_start_version_id_model_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_training_runs_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_runs")),
        sa.UniqueConstraint("job_id", "iteration", name="uq_training_runs_job_id_iteration"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_training_runs_model_version_id", "training_runs", ["model_version_id"])
    op.create_table(
        "training_run_images",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.CheckConstraint(
            "role IN ('labelled', 'kept', 'mined')", name=op.f("ck_training_run_images_role")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["training_runs.id"],
            name=op.f("fk_training_run_images_run_id_training_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "image_id", name=op.f("pk_training_run_images")),
    )
    op.create_table(
        "version_evaluations",
        sa.Column("model_version_id", ID, autoincrement=False, nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_version_evaluations_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("model_version_id", name=op.f("pk_version_evaluations")),
    )


def downgrade() -> None:
    op.drop_table("version_evaluations")
    op.drop_table("training_run_images")
    op.drop_table("training_runs")
