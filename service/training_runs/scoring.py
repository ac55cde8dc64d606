"""Scoring of the images that a version has no score for, within a training."""

from collections.abc import Sequence

from service.jobs.running import RunningJob, TransientError
from service.scans.scanning import scan_images
from service.scoring.resources import Resources
from service.scoring.splits import RANKED_SPLIT, SCORED_SPLITS


def score_unscored_images(
    job: RunningJob,
    resources: Resources,
    version_id: int,
    stage: str,
    splits: Sequence[str] = SCORED_SPLITS,
) -> None:
    """
    Score the images of some splits that a version has not scored yet.

    Images of the pool that cannot be scored do not stop a training.

    Raises:
        Stopped: the images that were scored before are saved.
        TransientError: an image of val or negative-test could not be scored.
    """
    failed = scan_images(job, resources, version_id, stage, splits)
    measured = [ids for ids in failed if ids.split != RANKED_SPLIT]
    if measured:
        raise TransientError(f"a version is measured on {measured[0]}, and some have no score")
