"""Vectors of image regions, and tests of images for true objects."""

import sqlalchemy as sa
from alembic import op

revision = "7c19f0a4d2b8"
down_revision = "e27a40d95b16"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "region_vectors",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("box", sa.LargeBinary(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name=op.f("fk_region_vectors_image_id_images"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_id", "network", "box", name=op.f("pk_region_vectors")),
    )
    op.create_table(
        "hold_tests",
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("num_objects", sa.Integer(), nullable=False),
        sa.Column("num_presumed_negatives", sa.Integer(), nullable=False),
        sa.Column("is_trusted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tested_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_hold_tests_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("model_version_id", name=op.f("pk_hold_tests")),
    )
    op.create_table(
        "hold_decisions",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("split", sa.String(length=20), nullable=False),
        sa.Column("decision", sa.Double(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name=op.f("fk_hold_decisions_image_id_images"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_hold_decisions_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("image_id", "model_version_id", name=op.f("pk_hold_decisions")),
    )
    op.create_index(
        "ix_hold_decisions_order",
        "hold_decisions",
        ["model_version_id", "split", "decision", "image_id"],
    )
    op.add_column("training_runs", sa.Column("holding", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("training_runs", "holding")
    op.drop_table("hold_decisions")
    op.drop_table("hold_tests")
    op.drop_table("region_vectors")
