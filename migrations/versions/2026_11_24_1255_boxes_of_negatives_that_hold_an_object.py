"""The boxes around which a negative that holds an object does not teach."""

import sqlalchemy as sa
from alembic import op

revision = "9d3e51f7a0c4"
down_revision = "7c19f0a4d2b8"
branch_labels = None
depends_on = None

COLUMNS = ("ignored_boxes", "background_boxes")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("training_run_images", sa.Column(name, sa.JSON(), nullable=True))


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("training_run_images", name)
