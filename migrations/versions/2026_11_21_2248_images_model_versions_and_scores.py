"""Images, model versions, and what the versions find on the images."""

import sqlalchemy as sa
from alembic import op

revision = "28c88dea8637"
down_revision = None
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("blob_key", sa.String(), nullable=False),
        sa.Column("split", sa.String(length=20), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "split IN ('pool', 'negative-test', 'train', 'val')", name=op.f("ck_images_split")
        ),
        sa.CheckConstraint(
            "verdict IN ('negative', 'contains-object', 'unsure')", name=op.f("ck_images_verdict")
        ),
        sa.CheckConstraint(
            "width > 0 AND height > 0 AND size_bytes > 0", name=op.f("ck_images_sizes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("sha256", name=op.f("uq_images_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_images_split", "images", ["split", "id"])

    op.create_table(
        "model_versions",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("architecture", sa.String(), nullable=False),
        sa.Column("class_names", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("checkpoint_sha256", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_key", sa.String(), nullable=False),
        sa.Column("checkpoint_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["model_versions.id"],
            name=op.f("fk_model_versions_parent_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("checkpoint_sha256", name=op.f("uq_model_versions_checkpoint_sha256")),
        sa.UniqueConstraint("name", name=op.f("uq_model_versions_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "activations",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_activations_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activations")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "detections",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("x2", sa.Double(), nullable=False),
        sa.Column("y2", sa.Double(), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("ck_detections_score_range")),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name=op.f("fk_detections_image_id_images"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_detections_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint(
            "image_id", "model_version_id", "position", name=op.f("pk_detections")
        ),
    )
    op.create_table(
        "image_scores",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("split", sa.String(length=20), nullable=False),
        sa.Column("ranking_key", sa.Double(), nullable=True),
        sa.Column("max_score", sa.Double(), nullable=True),
        sa.Column("log_odds", sa.Double(), nullable=True),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(ranking_key IS NULL) = (failure IS NOT NULL)",
            name=op.f("ck_image_scores_failed_or_ranked"),
        ),
        sa.CheckConstraint(
            "max_score BETWEEN 0 AND 1", name=op.f("ck_image_scores_max_score_range")
        ),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
            name=op.f("fk_image_scores_image_id_images"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_image_scores_model_version_id_model_versions"),
        ),
        sa.PrimaryKeyConstraint("image_id", "model_version_id", name=op.f("pk_image_scores")),
    )
    op.create_index(
        "ix_image_scores_ranking",
        "image_scores",
        ["model_version_id", "split", "ranking_key", "image_id"],
    )


def downgrade() -> None:
    op.drop_table("image_scores")
    op.drop_table("detections")
    op.drop_table("activations")
    op.drop_table("model_versions")
    op.drop_table("images")
