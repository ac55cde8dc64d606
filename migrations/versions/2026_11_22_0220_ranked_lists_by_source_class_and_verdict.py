"""Indexes that hold the ranked list of each source and of each class, and who is judged."""

import sqlalchemy as sa
from alembic import op

revision = "c81f5b3e07d4"
down_revision = "a7d20c4f91e6"
branch_labels = None
depends_on = None

COPY_SOURCES = """
UPDATE image_scores
SET source = (SELECT images.source FROM images WHERE images.id = image_scores.image_id)
"""

# Onto the highest detection of each class on an image of the pool.
COPY_RANKING_KEYS = """
UPDATE detections
SET ranking_key = (
    SELECT image_scores.ranking_key FROM image_scores
    WHERE image_scores.image_id = detections.image_id
      AND image_scores.model_version_id = detections.model_version_id
      AND image_scores.split = 'pool'
)
WHERE NOT EXISTS (
    SELECT 1 FROM detections AS better
    WHERE better.image_id = detections.image_id
      AND better.model_version_id = detections.model_version_id
      AND better.label = detections.label
      AND better.position < detections.position
)
"""


def upgrade() -> None:
    op.add_column(
        "image_scores", sa.Column("source", sa.String(), server_default="", nullable=False)
    )
    op.execute(COPY_SOURCES)
    op.create_index(
        "ix_image_scores_source_ranking",
        "image_scores",
        ["model_version_id", "split", "source", "ranking_key", "image_id"],
    )
    op.add_column("detections", sa.Column("ranking_key", sa.Double(), nullable=True))
    op.execute(COPY_RANKING_KEYS)
    op.create_index(
        "ix_detections_ranking",
        "detections",
        ["model_version_id", "label", "ranking_key", "image_id"],
        sqlite_where=sa.text("ranking_key IS NOT NULL"),
        postgresql_where=sa.text("ranking_key IS NOT NULL"),
    )
    op.create_index(
        "ix_images_verdict",
        "images",
        ["verdict", "id"],
        sqlite_where=sa.text("verdict IS NOT NULL"),
        postgresql_where=sa.text("verdict IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_images_verdict", "images")
    op.drop_index("ix_detections_ranking", "detections")
    op.drop_column("detections", "ranking_key")
    op.drop_index("ix_image_scores_source_ranking", "image_scores")
    op.drop_column("image_scores", "source")
