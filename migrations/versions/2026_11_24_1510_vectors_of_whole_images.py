"""Vectors of whole images, for near-duplicates, and of the detections of a grouping."""

import sqlalchemy as sa
from alembic import op

revision = "c02d9b64e8a7"
down_revision = "5e83b1c7a0f4"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "image_vectors",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("original_id", ID, nullable=True),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name=op.f("fk_image_vectors_image_id_images"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_vectors")),
    )
    op.create_index(
        "ix_image_vectors_original_id",
        "image_vectors",
        ["original_id"],
        sqlite_where=sa.text("original_id IS NOT NULL"),
        postgresql_where=sa.text("original_id IS NOT NULL"),
    )
    op.add_column("grouped_detections", sa.Column("vector", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("grouped_detections", "vector")
    op.drop_table("image_vectors")
