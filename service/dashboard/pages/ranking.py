"""The filters of both pages of the ranked list, and the reasons for an empty list."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.model_versions import service as version_service
from service.scoring import store as score_store


@dataclass(frozen=True, slots=True)
class Choices:
    """The values that the filters of the list offer."""

    versions: list[str]
    serving: str | None
    class_names: list[str]


def choices(session: Session) -> Choices:
    """Return the versions, newest first, and the classes that any of them knows."""
    versions = version_service.list_versions(session)
    names = dict.fromkeys(name for version in versions for name in version.class_names)
    return Choices(
        versions=[version.name for version in versions],
        serving=next((version.name for version in versions if version.is_serving), None),
        class_names=sorted(names),
    )


def show(session: Session) -> dict[str, object]:
    """Return what the templates of such a page need."""
    return {
        "choices": choices(session),
        "num_pool": score_store.count_images(session, "pool"),
    }
