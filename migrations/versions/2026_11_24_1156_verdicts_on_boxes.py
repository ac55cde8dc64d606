"""Verdicts on single boxes of an image."""

import sqlalchemy as sa
from alembic import op

revision = "cbf0a1ced3c8"
down_revision = "5d0b7c92ae31"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "box_judgements",
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_object", sa.Boolean(), nullable=False),
        sa.Column("class_name", sa.String(), nullable=True),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("x2", sa.Double(), nullable=False),
        sa.Column("y2", sa.Double(), nullable=False),
        sa.CheckConstraint("x1 < x2 AND y1 < y2", name="ck_box_judgements_has_area"),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name="fk_box_judgements_image_id_images",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_id", "position", name="pk_box_judgements"),
    )


def downgrade() -> None:
    op.drop_table("box_judgements")
