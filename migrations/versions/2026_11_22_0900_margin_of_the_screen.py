"""How far quick scores are off, for each version and what computed them."""

import sqlalchemy as sa
from alembic import op

revision = "5d0b7c92ae31"
down_revision = "c81f5b3e07d4"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "screen_margins",
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("computed_by", sa.String(), nullable=False),
        sa.Column("num_images", sa.BigInteger(), nullable=False),
        sa.Column("largest_error", sa.Double(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "num_images > 0 AND largest_error >= 0", name=op.f("ck_screen_margins_measured")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_screen_margins_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("model_version_id", "computed_by", name=op.f("pk_screen_margins")),
    )


def downgrade() -> None:
    op.drop_table("screen_margins")
