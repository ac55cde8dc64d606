"""The recipes that a training run tried."""

import sqlalchemy as sa
from alembic import op

revision = "5b0e8d27c1f9"
down_revision = "4e8b1f6d2c93"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("training_runs", sa.Column("recipes", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("training_runs", "recipes")
