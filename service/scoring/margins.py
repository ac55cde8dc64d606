"""SQL for the errors of quick scores that every process has measured."""

from collections.abc import Sequence

from sqlalchemy import case, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.tables import ScreenMargin


def save_screen_margin(
    session: Session, version_id: int, computed_by: str, num_images: int, largest_error: float
) -> None:
    """Save what one process has measured; larger values of another process stay."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    insert = dialect.insert(ScreenMargin).values(
        model_version_id=version_id,
        computed_by=computed_by,
        num_images=num_images,
        largest_error=largest_error,
    )
    new = insert.excluded
    larger = {
        column.name: case((new[column.name] > column, new[column.name]), else_=column)
        for column in (ScreenMargin.num_images, ScreenMargin.largest_error)
    }
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["model_version_id", "computed_by"],
            set_=larger | {"measured_at": new.measured_at},
        )
    )


def find_screen_margin(session: Session, version_id: int, computed_by: str) -> ScreenMargin | None:
    return session.get(ScreenMargin, (version_id, computed_by))


def list_screen_margins(session: Session, version_id: int) -> Sequence[ScreenMargin]:
    """Return the margins of a version on every device and release, newest first."""
    return session.scalars(
        select(ScreenMargin)
        .where(ScreenMargin.model_version_id == version_id)
        .order_by(ScreenMargin.measured_at.desc())
    ).all()
