"""Look-alikes among the images that a round may mine: found, stored, and taken in turns."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.families import MAX_GROUPED_IMAGES
from hardneg.schemas.training_runs import FreezeRequest, Strategy
from service.errors import ServiceError
from service.families import store as family_store
from service.families.texts import duplicates_text, grouped_text
from service.regions import image_vectors
from service.tables import ModelVersion
from service.training_runs import store
from service.training_runs.retraining import Retraining

MIN_GROUPED = 200
GROUPED_PER_MINED = 3.3  # issue 14: with fewer, families have too few members to choose from


class FamiliesMissing(ServiceError):
    """A list is to be chosen by families, and the parent version's images were not grouped."""

    status = HTTPStatus.CONFLICT
    slug = "families-missing"
    title = "Families are missing"

    def __init__(self, version: str, num_images: int) -> None:
        super().__init__(
            f"the images of version '{version}' were not grouped into families yet: start a "
            f'grouping with POST /families and {{"num_images": {num_images}}}, and wait for its job'
        )


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """
    The look-alikes among the images that may be mined.

    Attributes:
        families: the family of images by their ids.
        originals: the first image of near-duplicates by the ids of all of them.
    """

    families: Mapping[int, int] = field(default_factory=dict)
    originals: Mapping[int, int] = field(default_factory=dict)


NO_LOOK_ALIKES = LookAlikes()


def find_look_alikes(retraining: Retraining, iteration: int, parent_id: int) -> LookAlikes:
    """
    Group the images that a round would choose from, if its strategy or selection needs that.

    Raises Stopped; vectors computed so far are stored.
    """
    request = retraining.request
    if request.strategy is not Strategy.FAMILIES and not request.selection.collapse:
        return NO_LOOK_ALIKES
    from service.families.grouping import group_images  # loads scipy

    with retraining.resources.read_sessions.begin() as session:
        wanted = num_wanted(request, store.count_labelled(session))
        earlier = family_store.find_grouping(session, parent_id)
    name = f"round {iteration}"
    grouped = group_images(
        retraining.job,
        retraining.resources,
        parent_id,
        num_images=num_to_group(wanted),
        num_mapped=earlier.num_mapped if earlier else 0,  # a map that somebody asked for stays
        stage=f"{name}: grouping look-alikes",
    )
    retraining.job.log(f"{name}: {grouped_text(grouped.sizes)}")
    if request.selection.collapse:
        retraining.job.log(f"{name}: {duplicates_text(grouped.num_duplicates)}")
    with retraining.resources.read_sessions.begin() as session:
        return _look_alikes(session, request, grouped.families)


def stored_look_alikes(
    session: Session, request: FreezeRequest, parent: ModelVersion, num_labelled: int
) -> LookAlikes:
    """Return what a version's last grouping found, as far as needed. Raises FamiliesMissing."""
    by_families = request.strategy is Strategy.FAMILIES
    if by_families and family_store.find_grouping(session, parent.id) is None:
        raise FamiliesMissing(parent.name, num_to_group(num_wanted(request, num_labelled)))
    return _look_alikes(session, request, family_store.numbers_of(session, parent.id))


def _look_alikes(
    session: Session, request: FreezeRequest, families: Mapping[int, int]
) -> LookAlikes:
    return LookAlikes(
        families=families if request.strategy is Strategy.FAMILIES else {},
        originals=image_vectors.all_originals(session) if request.selection.collapse else {},
    )


def num_wanted(request: FreezeRequest, num_labelled: int) -> int:
    """Return how many new negatives a request wants, of as many labelled images."""
    if request.num_negatives is not None:
        return request.num_negatives
    return max(1, round(request.negative_fraction * num_labelled))


def num_to_group(num_mined: int) -> int:
    """Return how many of the hardest images to group, to mine so many of them."""
    return min(MAX_GROUPED_IMAGES, max(MIN_GROUPED, math.ceil(GROUPED_PER_MINED * num_mined)))


def by_families(
    images: Sequence[tuple[int, str]], families: Mapping[int, int]
) -> list[tuple[int, str]]:
    """
    Order images so that families take turns; images without a family come last.

    Args:
        images: ids and digests, worst first.
        families: the family of each image by its id.
    """
    grouped = [image for image in images if image[0] in families]
    others = [image for image in images if image[0] not in families]
    turns = take_turns([families[image_id] for image_id, _ in grouped])
    return [grouped[position] for position in turns] + others


def without_copies(
    images: Sequence[tuple[int, str]], originals: Mapping[int, int]
) -> list[tuple[int, str]]:
    """Return the first of the images with each original, and all that have none, in order."""
    seen: set[int] = set()
    kept = []
    for image in images:
        original = originals.get(image[0])
        if original is None or original not in seen:
            kept.append(image)
        if original is not None:
            seen.add(original)
    return kept


def take_turns(families: Sequence[int]) -> list[int]:
    """
    Return the order in which families take turns: the first of each, then the second of each.

    Args:
        families: the family of each item, in order of the items' scores.

    Returns:
        Positions of the items. Within a turn, families come in the order of their first items.
    """
    ranks: dict[int, int] = {}
    sizes: dict[int, int] = defaultdict(int)
    turns: list[tuple[int, int, int]] = []
    for position, family in enumerate(families):
        rank = ranks.setdefault(family, len(ranks))
        turns.append((sizes[family], rank, position))
        sizes[family] += 1
    return [position for _, _, position in sorted(turns)]
