import numpy as np
import pytest

from models.evaluation.around_recall import Version, fppi_around_recall
from models.evaluation.false_detections import FalseDetections
from models.evaluation.matching import MatchTable


def version(
    true_scores: list[float], false_scores: list[float], *, num_images: int = 10
) -> Version:
    """Make a version with one object on each of ten images, found in the order of the scores."""
    table = MatchTable(
        scores=np.array(true_scores),
        labels=np.ones(len(true_scores), dtype=np.int64),
        images=np.arange(len(true_scores)),
        is_true=np.ones((1, len(true_scores)), dtype=bool),
        num_objects=np.ones((10, 1), dtype=np.int64),
    )
    negatives = FalseDetections(
        scores=np.array(false_scores),
        labels=np.ones(len(false_scores), dtype=np.int64),
        images=np.arange(len(false_scores)) % num_images,
        num_images=num_images,
    )
    return Version(table, negatives)


PARENT = version([0.9, 0.8, 0.7, 0.6, 0.55, 0.3, 0.2], [0.95, 0.75, 0.65, 0.5, 0.25, 0.1])


def test_mean_fppi_by_hand() -> None:
    candidate = version([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.75, 0.45])

    found = fppi_around_recall(candidate, PARENT, threshold=0.5, num_resamples=20)

    # 5 objects are found; means over 3 to 6 objects, the most that the candidate reaches
    assert (found.lowest_recall, found.highest_recall) == (0.3, 0.6)
    assert found.parent.value == pytest.approx((2 + 3 + 3 + 4) / 4 / 10)
    assert found.candidate.value == pytest.approx((1 + 1 + 1 + 2) / 4 / 10)
    assert found.difference.value == pytest.approx((1.25 - 3) / 10)


def test_candidate_that_finds_fewer_objects_has_no_mean() -> None:
    candidate = version([0.9, 0.8, 0.7, 0.6], [])

    found = fppi_around_recall(candidate, PARENT, threshold=0.5, num_resamples=20)

    assert np.isnan(found.candidate.value)
    assert found.highest_recall == 0.5


def test_equal_versions_do_not_differ_in_any_resample() -> None:
    found = fppi_around_recall(PARENT, PARENT, threshold=0.5, num_resamples=200)

    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert found.parent.low < found.parent.value < found.parent.high


def test_resamples_draw_images_without_detections_too() -> None:
    crowded, sparse = (version([0.6, 0.5], [0.85], num_images=count) for count in (1, 100))

    always = fppi_around_recall(crowded, crowded, threshold=0.5, num_resamples=200)
    seldom = fppi_around_recall(sparse, sparse, threshold=0.5, num_resamples=200)

    assert (always.parent.low, always.parent.high) == (1, 1)
    assert seldom.parent.low == 0


@pytest.mark.parametrize(
    ("candidate", "threshold", "message"),
    [
        (version([0.9], [], num_images=9), 0.5, "same negatives"),
        (PARENT, 0.99, "finds no object"),
    ],
)
def test_incomparable_versions_are_refused(
    candidate: Version, threshold: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fppi_around_recall(candidate, PARENT, threshold=threshold)
