"""Runs migrations over the connection that the caller put into the config."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from service import tables
from service.db import Base, open_engine
from service.settings import Settings


def _render_item(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """Migrations name the database's own types, for they must not import the tables."""
    if kind == "type" and isinstance(item, tables.UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=_render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    _run(connection)
else:
    with open_engine(Settings().sqlalchemy_url).connect() as new_connection:
        _run(new_connection)
        new_connection.commit()
