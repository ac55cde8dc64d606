"""Families as clients see them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from hardneg.schemas.families import (
    FamilyMember,
    FamilyOut,
    FamilyReport,
    FamilyTrend,
    FamilyVerdicts,
)
from hardneg.schemas.images import Box, DetectionOut, Verdict
from service.families.members import Member, ScoredByVersion
from service.images.views import image_out
from service.tables import Detection, Family, FamilyGrouping, ModelVersion

Verdicts = Mapping[str | None, int]


def family_report(
    version: ModelVersion,
    grouping: FamilyGrouping,
    *,
    threshold: float,
    num_families: int,
    families: Sequence[Family],
    verdicts: Mapping[int, Verdicts],
    sealed: Mapping[int | None, int],
    trends: Mapping[int, list[FamilyTrend]],
    hardest: Mapping[int, Sequence[Member]],
    num_members: int,
    next_after_number: int | None,
) -> FamilyReport:
    """Return the families of a grouping with all that is known of them, by family id."""
    num_sealed = sum(sealed.values())
    return FamilyReport(
        model_version=version.name,
        grouped_at=grouping.grouped_at,
        num_images=grouping.num_images,
        num_mapped=grouping.num_mapped,
        num_families=num_families,
        threshold=threshold,
        num_sealed_false_detections=num_sealed,
        num_sealed_without_family=sealed.get(None, 0),
        items=[
            FamilyOut(
                id=family.id,
                number=family.number,
                size=sum(verdicts[family.id].values()),
                max_score=_best_score(hardest.get(family.id, [])),
                verdicts=family_verdicts(verdicts[family.id]),
                num_sealed_false_detections=sealed.get(family.id, 0),
                sealed_share=sealed.get(family.id, 0) / num_sealed if num_sealed else None,
                trend=trends.get(family.id, []),
                members=[
                    family_member(version, each)
                    for each in hardest.get(family.id, [])[:num_members]
                ],
            )
            for family in families
        ],
        next_after_number=next_after_number,
    )


def trends(
    line: Sequence[ModelVersion], scored: Sequence[ScoredByVersion]
) -> dict[int, list[FamilyTrend]]:
    """Return the figures of each family by version, in the order of the versions."""
    counts: dict[tuple[int, int], dict[str, ScoredByVersion]] = defaultdict(dict)
    for row in scored:
        counts[row.family_id, row.version_id][row.split] = row
    found: dict[int, list[FamilyTrend]] = defaultdict(list)
    for family_id in {row.family_id for row in scored}:
        for version in line:
            if by_split := counts.get((family_id, version.id)):
                found[family_id].append(_trend(version, by_split))
    return found


def _trend(version: ModelVersion, by_split: Mapping[str, ScoredByVersion]) -> FamilyTrend:
    pool, sealed = by_split.get("pool"), by_split.get("negative-test")
    return FamilyTrend(
        model_version_id=version.id,
        model_version=version.name,
        num_pool_images=pool.num_images if pool else 0,
        num_pool_errors=pool.num_errors if pool else 0,
        num_sealed_images=sealed.num_images if sealed else 0,
        num_sealed_errors=sealed.num_errors if sealed else 0,
    )


def family_verdicts(counts: Verdicts) -> FamilyVerdicts:
    """Return the number of images by verdict."""
    return FamilyVerdicts(
        negative=counts.get(Verdict.NEGATIVE, 0),
        contains_object=counts.get(Verdict.CONTAINS_OBJECT, 0),
        unsure=counts.get(Verdict.UNSURE, 0),
        none=counts.get(None, 0),
    )


def family_member(version: ModelVersion, member: Member) -> FamilyMember:
    """Return an image of a family with the detection that it was grouped by."""
    return FamilyMember(
        max_score=member.max_score,
        detection=detection_out(version, member.detection),
        image=image_out(member.image),
    )


def _best_score(members: Sequence[Member]) -> float | None:
    return members[0].max_score if members else None


def detection_out(version: ModelVersion, found: Detection | None) -> DetectionOut | None:
    """Return a version's detection as it is stored."""
    if found is None:
        return None
    return DetectionOut(
        label=version.class_names[found.label - 1],
        score=found.score,
        box=Box(x1=found.x1, y1=found.y1, x2=found.x2, y2=found.y2),
    )
