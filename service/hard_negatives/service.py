"""The rules of the ranked list."""

from http import HTTPStatus

from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.hard_negatives import store
from service.hard_negatives.cursor import Cursor, InvalidCursor
from service.hard_negatives.schemas import (
    Coverage,
    HardNegative,
    HardNegativePage,
    VerdictFilter,
)
from service.images import views
from service.model_versions import service as version_service
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.tables import ModelVersion
from service.training_runs import store as run_store


class NothingRanked(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "nothing-ranked"
    title = "No model version serves"

    def __init__(self) -> None:
        super().__init__(
            "no model version serves, so there is no ranking yet: add one with "
            "POST /model-versions, then POST /model-versions/ID/activate"
        )


class UnknownLabel(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "unknown-label"
    title = "Unknown label"


def list_hard_negatives(
    session: Session,
    *,
    n: int,
    model_version: str | None,
    min_score: float | None,
    max_score: float | None,
    label: str | None,
    source: str | None,
    verdict: VerdictFilter | None,
    trained: bool | None,
    cursor: str | None,
) -> HardNegativePage:
    """
    The pool's worst images, worst first.

    Raises:
        ModelVersionNotFound: so that an unknown name is not an empty list.
        NothingRanked: no version is named and none serves.
        UnknownLabel: the version knows no such class.
        InvalidCursor: not a cursor, or one of another version.
    """
    after = Cursor.decode(cursor) if cursor is not None else None
    version = _version(session, model_version, after)
    filters = store.Filters(
        min_score=min_score,
        max_score=max_score,
        label=_label_index(version, label),
        source=source,
        verdict=verdict,
        trained=trained,
        run_ids=[] if trained is None else run_store.runs_behind(session, version.id),
    )
    rows = store.hardest_images(session, version.id, filters, after, n + 1)
    first_rank = after.rank + 1 if after else 1
    page = rows[:n]
    detections = score_store.detections_of(
        session, version.id, [score.image_id for score, _ in page]
    )
    items = []
    for rank, (score, image) in enumerate(page, first_rank):
        seen = views.stored_score(version, score, detections[image.id])
        items.append(
            HardNegative(
                rank=rank,
                max_score=seen.max_score,
                log_odds=seen.log_odds,
                detections=seen.detections,
                image=views.image_out(image),
            )
        )
    next_cursor = None
    if len(rows) > n:
        last, _ = page[-1]
        assert last.ranking_key is not None
        next_cursor = Cursor(
            version.id, last.ranking_key, last.image_id, first_rank + n - 1
        ).encode()
    return HardNegativePage(
        model_version=version.name,
        pool=Coverage(
            images=score_store.count_images(session, "pool"),
            scored=score_store.count_scored(session, version.id, "pool"),
        ),
        items=items,
        next_cursor=next_cursor,
    )


def _version(session: Session, key: str | None, after: Cursor | None) -> ModelVersion:
    if key is not None:
        version = version_service.get_version(session, key)
        if after is not None and after.version_id != version.id:
            raise InvalidCursor
        return version
    if after is not None:
        pinned = version_store.find_version(session, after.version_id)
        if pinned is None:
            raise InvalidCursor
        return pinned
    serving = version_store.serving_version(session)
    if serving is None:
        raise NothingRanked
    return serving


def _label_index(version: ModelVersion, label: str | None) -> int | None:
    if label is None:
        return None
    if label not in version.class_names:
        known = ", ".join(version.class_names)
        raise UnknownLabel(f"version '{version.name}' knows no class '{label}'; it knows {known}")
    return version.class_names.index(label) + 1
