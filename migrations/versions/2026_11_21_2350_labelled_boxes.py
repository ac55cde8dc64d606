"""Boxes of labelled images."""

import sqlalchemy as sa
from alembic import op

revision = "b3b9a6d0c7e1"
down_revision = "6f0f5c1d9a42"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "labelled_boxes",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("class_name", sa.String(), nullable=False),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("x2", sa.Double(), nullable=False),
        sa.Column("y2", sa.Double(), nullable=False),
        sa.CheckConstraint("x1 < x2 AND y1 < y2", name=op.f("ck_labelled_boxes_has_area")),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name=op.f("fk_labelled_boxes_image_id_images"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_id", "position", name=op.f("pk_labelled_boxes")),
    )


def downgrade() -> None:
    op.drop_table("labelled_boxes")
