"""The rules of groupings, and the families as clients see them."""

from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.families import (
    FamilyPage,
    FamilyReport,
    GroupingRequest,
)
from hardneg.schemas.jobs import JobOut
from service.errors import ServiceError
from service.families import members, store, views
from service.families.job import GROUP
from service.jobs.service import enqueue
from service.model_versions import service as version_service
from service.model_versions import store as version_store
from service.tables import Family, FamilyGrouping, ModelVersion

MAX_VERSIONS = 20  # of a trend


class NothingToGroup(ServiceError):
    """A version has found nothing in the pool, or has not scored it."""

    status = HTTPStatus.CONFLICT
    slug = "nothing-to-group"
    title = "Nothing to group"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version '{version}' has no image of the pool with a detection: send images to POST "
            "/images, and wait until it has scored them"
        )


class NotGrouped(ServiceError):
    """A version has no grouping yet."""

    status = HTTPStatus.NOT_FOUND
    slug = "not-grouped"
    title = "Not grouped"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"the images of version '{version}' were not grouped yet: start a grouping with POST "
            "/families"
        )


class FamilyNotFound(ServiceError):
    """A family does not exist, or no longer does."""

    status = HTTPStatus.NOT_FOUND
    slug = "unknown-family"
    title = "Unknown family"

    def __init__(self, family_id: int) -> None:
        super().__init__(
            f"there is no family {family_id}; a new grouping makes new families: list them with "
            "GET /families"
        )


def queue_grouping(session: Session, request: GroupingRequest) -> JobOut:
    """
    Queue a grouping, with its version resolved.

    Raises ModelVersionNotFound, NoServingVersion, NothingToGroup.
    """
    version = version_service.named_or_serving(session, request.model_version)
    if not store.hardest_detected(session, version.id, 1):
        raise NothingToGroup(version.name)
    return enqueue(session, GROUP, request.model_copy(update={"model_version": str(version.id)}))


def list_families(
    session: Session,
    *,
    model_version: str | None,
    threshold: float,
    min_size: int,
    num_members: int,
    after_number: int,
    limit: int,
) -> FamilyReport:
    """
    Return the families of a version, by default of the serving one.

    Raises ModelVersionNotFound, NoServingVersion, NotGrouped.
    """
    version = version_service.named_or_serving(session, model_version)
    grouping = get_grouping(session, version)
    families = store.families_of(session, version.id)
    verdicts = members.count_verdicts(session, [family.id for family in families])
    wanted = [
        family
        for family in families
        if family.number > after_number and sum(verdicts[family.id].values()) >= min_size
    ]
    shown = wanted[:limit]
    shown_ids = [family.id for family in shown]
    line = members.line_of(session, version.id, MAX_VERSIONS)
    scored = members.scores_over_versions(session, shown_ids, [each.id for each in line], threshold)
    return views.family_report(
        version,
        grouping,
        threshold=threshold,
        num_families=len(families),
        families=shown,
        verdicts=verdicts,
        sealed=members.count_sealed(session, version.id, threshold),
        trends=views.trends(line, scored),
        hardest=members.members_of(session, version.id, shown_ids, max(num_members, 1)),
        num_members=num_members,
        next_after_number=shown[-1].number if len(wanted) > limit else None,
    )


def get_grouping(session: Session, version: ModelVersion) -> FamilyGrouping:
    """Return the last grouping of a version. Raises NotGrouped."""
    grouping = store.find_grouping(session, version.id)
    if grouping is None:
        raise NotGrouped(version.name)
    return grouping


def show_family(session: Session, family_id: int, *, offset: int, limit: int) -> FamilyPage:
    """Return a family with a page of its images. Raises FamilyNotFound."""
    family = get_family(session, family_id)
    version = version_store.find_version(session, family.model_version_id)
    assert version is not None
    verdicts = members.count_verdicts(session, [family_id])[family_id]
    size = sum(verdicts.values())
    found = members.members_of(session, version.id, [family_id], limit, min(offset, size))
    return FamilyPage(
        model_version=version.name,
        id=family.id,
        number=family.number,
        size=size,
        verdicts=views.family_verdicts(verdicts),
        members=[views.family_member(version, member) for member in found[family_id]],
        next_offset=offset + limit if offset + limit < size else None,
    )


def get_family(session: Session, family_id: int) -> Family:
    """Return a family's row. Raises FamilyNotFound."""
    family = store.find_family(session, family_id)
    if family is None:
        raise FamilyNotFound(family_id)
    return family
