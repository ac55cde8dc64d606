"""Families of look-alikes, and the detections that they were grouped from."""

import sqlalchemy as sa
from alembic import op

revision = "5e83b1c7a0f4"
down_revision = "a41c07e9d2f5"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "family_groupings",
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("num_images", sa.Integer(), nullable=False),
        sa.Column("num_mapped", sa.Integer(), nullable=False),
        sa.Column("grouped_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_family_groupings_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("model_version_id", name=op.f("pk_family_groupings")),
    )
    op.create_table(
        "families",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_families_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_families")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_families_model_version_id", "families", ["model_version_id", "number"])
    op.create_table(
        "grouped_detections",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(length=20), nullable=False),
        sa.Column("family_id", ID, nullable=True),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name=op.f("fk_grouped_detections_image_id_images"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_grouped_detections_model_version_id_model_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["family_id"],
            ["families.id"],
            name=op.f("fk_grouped_detections_family_id_families"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "image_id", "model_version_id", "position", name=op.f("pk_grouped_detections")
        ),
    )
    op.create_index(
        "ix_grouped_detections_split", "grouped_detections", ["model_version_id", "split"]
    )
    op.create_index("ix_grouped_detections_family_id", "grouped_detections", ["family_id"])


def downgrade() -> None:
    op.drop_table("grouped_detections")
    op.drop_table("families")
    op.drop_table("family_groupings")
