"""The rules of the ranked list."""

from dataclasses import dataclass
from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.hard_negatives import VerdictFilter
from service.errors import ServiceError
from service.hard_negatives import decisions, store
from service.hard_negatives.collapsing import collapsed_images
from service.hard_negatives.cursor import Cursor, InvalidCursor
from service.hard_negatives.decisions import HoldDecided, LastHoldTest
from service.hard_negatives.store import Filters, RankedImage, RankingVersion
from service.model_versions import service as version_service
from service.scoring import store as score_store
from service.scoring.store import FoundBox, ScoredCounts
from service.training_runs import store as run_store


class UnknownLabel(ServiceError):
    """A version does not know the requested class."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "unknown-label"
    title = "Unknown label"


@dataclass(frozen=True, slots=True)
class RankedPage:
    """One page of the list as rows of the database."""

    version: RankingVersion
    coverage: ScoredCounts
    first_rank: int
    images: list[RankedImage]
    boxes: list[FoundBox]
    decisions: list[HoldDecided]
    hold_test: LastHoldTest | None
    next_cursor: Cursor | None
    num_duplicates: dict[int, int]  # of images that stand for near-duplicates


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
    held: bool | None,
    cursor: str | None,
    collapse: bool = False,
) -> RankedPage:
    """
    Return a page of the pool's worst images, worst first; held ones by their decision.

    With `collapse`, of near-duplicates only the worst is there.

    Raises:
        ModelVersionNotFound: no version has this name; an empty list would hide a typing error.
        NoServingVersion: no version is named and none serves.
        UnknownLabel: the version does not know the class.
        InvalidCursor: it is not a cursor, or it belongs to another version.
    """
    after = Cursor.decode(cursor) if cursor is not None else None
    version = find_ranking_version(session, model_version, after)
    filters = resolve_filters(
        session,
        version,
        min_score=min_score,
        max_score=max_score,
        label=label,
        source=source,
        verdict=verdict,
        trained=trained,
        held=held,
    )
    num_duplicates: dict[int, int] = {}
    if collapse:
        images, num_duplicates = collapsed_images(session, version.id, filters, after, n + 1)
    else:
        images = store.hardest_images(session, version.id, filters, after, n + 1)
    first_rank = after.rank + 1 if after else 1
    next_cursor = None
    if len(images) > n:
        images.pop()
        last = images[-1]
        next_cursor = Cursor(version.id, last.ranking_key, last.id, first_rank + n - 1)
    image_ids = [image.id for image in images]
    return RankedPage(
        version=version,
        coverage=score_store.scored_counts(session, version.id, "pool"),
        first_rank=first_rank,
        images=images,
        boxes=score_store.boxes_on(session, version.id, image_ids),
        decisions=decisions.decisions_on(session, version.id, image_ids),
        hold_test=decisions.find_hold_test(session, version.id),
        next_cursor=next_cursor,
        num_duplicates=num_duplicates,
    )


def find_ranking_version(
    session: Session, key: str | None, after: Cursor | None = None
) -> RankingVersion:
    """
    Return the version that ranks: the named one, else the cursor's, else the serving one.

    Raises ModelVersionNotFound, NoServingVersion, InvalidCursor.
    """
    if key is None and after is not None:
        pinned = store.find_version(session, after.version_id)
        if pinned is None:
            raise InvalidCursor
        return pinned
    # read past the ORM: loading a ModelVersion takes half as long as the whole page
    serving = store.serving_version(session) if key is None else None
    if serving is not None:
        return serving
    version = version_service.named_or_serving(session, key)
    if after is not None and after.version_id != version.id:
        raise InvalidCursor
    return RankingVersion(version.id, version.name, version.class_names)


def resolve_filters(
    session: Session,
    version: RankingVersion,
    *,
    min_score: float | None,
    max_score: float | None,
    label: str | None,
    source: str | None,
    verdict: VerdictFilter | None,
    trained: bool | None,
    held: bool | None,
) -> Filters:
    """Return filters as the list of a version takes them. Raises UnknownLabel."""
    return Filters(
        min_score=min_score,
        max_score=max_score,
        label=_label_index(version, label),
        source=source,
        verdict=verdict,
        trained=trained,
        run_ids=[] if trained is None else run_store.runs_behind(session, version.id),
        held=held,
    )


def _label_index(version: RankingVersion, label: str | None) -> int | None:
    """Return the label of a class by its name, from 1. Raises UnknownLabel."""
    if label is None:
        return None
    if label not in version.class_names:
        known = ", ".join(version.class_names)
        raise UnknownLabel(
            f"version '{version.name}' does not know the class '{label}': use one of {known}"
        )
    return version.class_names.index(label) + 1
