"""How many images a split has and a version has scored, kept by triggers as rows come and go."""

import sqlalchemy as sa
from alembic import op

revision = "a7d20c4f91e6"
down_revision = "e4c1d2a7f5b0"
branch_labels = None
depends_on = None

# SQLite numbers rows only in a column that is declared INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Counted table, its groups, the table of counts, and the column that holds the number.
COUNTS = (
    ("images", ("split",), "image_counts", "num_images"),
    ("image_scores", ("model_version_id", "split"), "score_counts", "num_scores"),
)

SQLITE_TRIGGER = """
CREATE TRIGGER {table}_{event}_counts AFTER {event} ON {table} BEGIN
    INSERT INTO {counts} ({groups}, slot, {number}) VALUES ({values}, 0, {step})
    ON CONFLICT ({groups}, slot) DO UPDATE SET {number} = {counts}.{number} + excluded.{number};
END
"""

# Writers never wait for each other: each takes the first slot that no other transaction holds.
POSTGRES_FREE_SLOT = """
CREATE FUNCTION hardneg_free_slot() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    slot integer := 0;
BEGIN
    WHILE NOT pg_try_advisory_xact_lock(1751216740, slot) LOOP
        slot := slot + 1;
    END LOOP;
    RETURN slot;
END
$$
"""

POSTGRES_FUNCTION = """
CREATE FUNCTION {table}_{event}_counts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    own_slot integer;
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    own_slot := hardneg_free_slot();
    INSERT INTO {counts} ({groups}, slot, {number})
    SELECT {groups}, own_slot, {step} * count(*) FROM changed GROUP BY {groups}
    ON CONFLICT ({groups}, slot) DO UPDATE SET {number} = {counts}.{number} + excluded.{number};
    RETURN NULL;
END
$$
"""

POSTGRES_TRIGGER = """
CREATE TRIGGER {table}_{event}_counts AFTER {event} ON {table}
REFERENCING {transition} TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION {table}_{event}_counts()
"""


def upgrade() -> None:
    op.create_table(
        "image_counts",
        sa.Column("split", sa.String(length=20), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("num_images", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("split", "slot", name=op.f("pk_image_counts")),
    )
    op.create_table(
        "score_counts",
        sa.Column("model_version_id", ID, autoincrement=False, nullable=False),
        sa.Column("split", sa.String(length=20), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("num_scores", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model_version_id", "split", "slot", name=op.f("pk_score_counts")),
    )
    on_postgres = op.get_bind().dialect.name == "postgresql"
    if on_postgres:
        op.execute(POSTGRES_FREE_SLOT)
    for table, columns, counts, number in COUNTS:
        groups = ", ".join(columns)
        op.execute(
            f"INSERT INTO {counts} ({groups}, slot, {number}) "
            f"SELECT {groups}, 0, count(*) FROM {table} GROUP BY {groups}"
        )
        for event, row, step in (("insert", "NEW", 1), ("delete", "OLD", -1)):
            names: dict[str, object] = {
                "table": table,
                "event": event,
                "counts": counts,
                "groups": groups,
                "number": number,
                "step": step,
                "values": ", ".join(f"{row}.{column}" for column in columns),
                "transition": row,
            }
            if on_postgres:
                op.execute(POSTGRES_FUNCTION.format(**names))
                op.execute(POSTGRES_TRIGGER.format(**names))
            else:
                op.execute(SQLITE_TRIGGER.format(**names))


def downgrade() -> None:
    on_postgres = op.get_bind().dialect.name == "postgresql"
    for table, _, counts, _ in COUNTS:
        for event in ("insert", "delete"):
            trigger = f"{table}_{event}_counts"
            if on_postgres:
                op.execute(f"DROP TRIGGER {trigger} ON {table}")
                op.execute(f"DROP FUNCTION {trigger}()")
            else:
                op.execute(f"DROP TRIGGER {trigger}")
        op.drop_table(counts)
    if on_postgres:
        op.execute("DROP FUNCTION hardneg_free_slot()")
