from dataclasses import replace

import numpy as np
import pytest

from models.regions.hold import MIN_OBJECTS, MIN_PRESUMED, Evidence, HoldRule, find_negatives
from models.regions.similarity import mean_similarity

LENGTH = 32


def around(direction: int, count: int, seed: int, spread: float = 0.12) -> np.ndarray:
    """Draw unit vectors about one axis of the space."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, spread, (count, LENGTH))
    vectors[:, direction] += 1
    unit: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def objects(count: int, seed: int = 0) -> np.ndarray:
    return around(0, count, seed)


def negatives(count: int, seed: int = 100) -> np.ndarray:
    return np.concatenate([around(k, -(-count // 3), seed + k) for k in (1, 2, 3)])[:count]


NONE = np.zeros((0, LENGTH), np.float32)
EVIDENCE = Evidence(
    objects=objects(40),
    near=negatives(60, 200),
    far=negatives(60, 300),
    negatives=NONE,
    hardest=np.concatenate([objects(10, 5), negatives(20, 400)]),
)


def test_similarity_is_the_mean_cosine_to_the_five_nearest() -> None:
    others = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6], [-1, 0], [1, 0], [1, 0]], np.float32)

    found = mean_similarity(np.array([[1, 0]], np.float32), others)

    assert found == pytest.approx([(1 + 1 + 1 + 0.8 + 0.6) / 5])
    assert mean_similarity(others[:1], others[1:3]) == pytest.approx([0.3])


def test_objects_are_above_zero_and_negatives_below() -> None:
    rule = HoldRule(EVIDENCE)

    assert (rule.decisions(objects(30, 7)) > 0).all()
    assert (rule.decisions(negatives(30, 500)) < 0).all()
    assert rule.trust.is_trusted
    assert rule.trust.reason == (
        "it recognises 40 of 40 labelled objects that it has not seen, and its two rules agree on "
        "30 of the 30 hardest images"
    )


def test_unlabelled_objects_are_dropped_from_the_presumed_negatives() -> None:
    near = np.concatenate([negatives(20, 200), objects(60, 9)])
    far = np.concatenate([negatives(50, 300), objects(10, 11)])
    evidence = replace(EVIDENCE, near=near, far=far)

    keep = find_negatives(evidence)
    rule = HoldRule(evidence)

    assert keep.tolist() == [True] * 20 + [False] * 60 + [True] * 50 + [False] * 10
    assert (rule.decisions(objects(30, 7)) > 0).all()
    assert rule.num_presumed == 70


def test_verdicts_of_people_teach_the_rule() -> None:
    lookalikes = around(0, 12, 21, spread=0.1)
    lookalikes[:, 9] += 0.6
    lookalikes /= np.linalg.norm(lookalikes, axis=1, keepdims=True)
    judged, others = lookalikes[:8], lookalikes[8:]

    before = HoldRule(EVIDENCE).decisions(others)
    after = HoldRule(replace(EVIDENCE, negatives=judged)).decisions(others)

    assert (before > 0).all()
    assert (after < 0).all()


def test_decisions_are_the_same_every_time() -> None:
    vectors = np.concatenate([objects(5, 3), negatives(5, 4)])

    first, second = (HoldRule(EVIDENCE).decisions(vectors) for _ in range(2))

    assert first.tolist() == second.tolist()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"objects": objects(MIN_OBJECTS - 1)}, "there are 19 labelled objects, and 20 are needed"),
        ({"objects": NONE}, "there are 0 labelled objects"),
        ({"near": NONE, "far": negatives(MIN_PRESUMED - 1)}, "there are 19 images with detections"),
        ({"near": NONE, "far": NONE}, "there are 0 images with detections"),
    ],
)
def test_rule_with_too_little_evidence_is_not_trusted(
    changes: dict[str, np.ndarray], reason: str
) -> None:
    rule = HoldRule(replace(EVIDENCE, **changes))

    assert not rule.trust.is_trusted
    assert rule.trust.reason.startswith(reason)
    assert len(rule.decisions(negatives(3))) == 3


def test_rule_that_knows_few_of_the_labelled_objects_is_not_trusted() -> None:
    like_negatives = negatives(18, 800)

    rule = HoldRule(replace(EVIDENCE, objects=np.concatenate([objects(6), like_negatives])))

    assert not rule.trust.is_trusted
    assert "labelled objects that it has not seen" in rule.trust.reason


def test_rules_that_disagree_are_not_trusted() -> None:
    every_direction = np.eye(LENGTH, dtype=np.float32)[4:28]

    rule = HoldRule(replace(EVIDENCE, objects=every_direction))

    assert not rule.trust.is_trusted
    assert "its two rules agree on" in rule.trust.reason
