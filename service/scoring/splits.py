"""Rules of scoring that depend on the split of an image."""

from service.settings import Settings

RANKED_SPLIT = "pool"  # the hard-negative list ranks its images

# The stored detections of val give a version's AP at any time, without another forward pass.
MEASURED_SPLITS = ("negative-test", "val")
SCORED_SPLITS = (RANKED_SPLIT, *MEASURED_SPLITS)


def min_score_of(split: str, settings: Settings) -> float:
    """
    Return the score above which the detections of an image are kept.

    Only detections that are shown in the ranked list have the floor of the settings. Images that
    a version is measured on keep all detections above the detector's own threshold.
    """
    return settings.detection_floor if split == RANKED_SPLIT else 0.0
