"""The images that a hold rule is fitted to: labelled, judged, and presumed negative."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.holding import store
from service.regions.computing import BoxedImage

# Limits on the work of one test: a vector takes some hundredths of a second.
MAX_LABELLED_IMAGES = 1000
MAX_JUDGED_IMAGES = 500
MAX_RANK = 20_000  # of presumed negatives
NUM_HARDEST = 100
NUM_NEAR = 150
NUM_FAR = 100


@dataclass(frozen=True, slots=True)
class EvidenceImages:
    """The images behind the fields of `models.regions.hold.Evidence`, with their boxes."""

    labelled: list[BoxedImage]  # every box is an object
    confirmed: list[BoxedImage]  # every box is an object, by a person's verdict
    refuted: list[BoxedImage]  # no box is one, by a person's verdict
    hardest: list[BoxedImage]  # these and the following with detections, the best one first
    near: list[BoxedImage]
    far: list[BoxedImage]


def find_evidence(session: Session, version_id: int) -> EvidenceImages:
    """
    Find the images to fit a version's hold rule to.

    Sealed images are never among them: what was chosen by them could not be measured on them.
    """
    hardest, near, far = split_ranking(store.ranked_ids(session, version_id, MAX_RANK))
    return EvidenceImages(
        labelled=store.labelled_images(session, MAX_LABELLED_IMAGES),
        confirmed=store.confirmed_images(session, version_id, MAX_JUDGED_IMAGES),
        refuted=store.refuted_images(session, version_id, MAX_JUDGED_IMAGES),
        hardest=store.detected_images(session, version_id, hardest),
        near=store.detected_images(session, version_id, near),
        far=store.detected_images(session, version_id, far),
    )


def split_ranking(ranked: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """
    Split a ranking into its top, the presumed negatives near it, and others spread over the rest.

    Of a small pool two fifths are the top, and three fifths of the others are near.
    """
    first = min(NUM_HARDEST, len(ranked) * 2 // 5)
    rest = ranked[first:]
    num_near = min(NUM_NEAR, len(rest) * 3 // 5)
    return list(ranked[:first]), list(rest[:num_near]), _spread(rest[num_near:], NUM_FAR)


def _spread(ids: Sequence[int], count: int) -> list[int]:
    """Return `count` ids at equal distances, or all of fewer."""
    if len(ids) <= count:
        return list(ids)
    return [ids[index * len(ids) // count] for index in range(count)]
