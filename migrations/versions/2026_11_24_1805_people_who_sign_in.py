"""People who sign in with an identity provider."""

import sqlalchemy as sa
from alembic import op

revision = "4e8b1f6d2c93"
down_revision = "f1b96d3a07e4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sign_ins") as table:
        table.alter_column("key_digest", existing_type=sa.String(64), nullable=True)
        table.add_column(sa.Column("issuer", sa.String()))
        table.add_column(sa.Column("person", sa.String()))
        table.add_column(sa.Column("role", sa.String(20)))
        table.add_column(sa.Column("state_digest", sa.String(64)))
        table.create_unique_constraint(op.f("uq_sign_ins_state_digest"), ["state_digest"])
        table.create_check_constraint(
            op.f("ck_sign_ins_key_or_person"), "(key_digest IS NULL) = (issuer IS NOT NULL)"
        )
        table.create_check_constraint(
            op.f("ck_sign_ins_whole_person"),
            "(issuer IS NULL) = (person IS NULL) AND (issuer IS NULL) = (role IS NULL)",
        )


def downgrade() -> None:
    op.execute("DELETE FROM sign_ins WHERE key_digest IS NULL")
    with op.batch_alter_table("sign_ins") as table:
        table.drop_constraint(op.f("ck_sign_ins_whole_person"), type_="check")
        table.drop_constraint(op.f("ck_sign_ins_key_or_person"), type_="check")
        table.drop_constraint(op.f("uq_sign_ins_state_digest"), type_="unique")
        for name in ("state_digest", "role", "person", "issuer"):
            table.drop_column(name)
        table.alter_column("key_digest", existing_type=sa.String(64), nullable=False)
