"""The hold rule: detections that look like true objects, by two decisions on region vectors."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from models.regions.similarity import mean_similarity

MIN_OBJECTS = 20  # fewer say too little about what an object looks like
MIN_PRESUMED = 20
# Limits from docs/explanation/experiments/holding.md: below them, whole batches of objects passed.
MIN_RECALL = 0.85
MIN_AGREEMENT = 0.75

_CONTRAST_SCALE = 10  # a contrast of 0.1 counts like a log-odds of 1
_MISSED_SHARE = 0.05  # share of labelled objects that may fall below the zero of a decision
_FIRST_PURGE = 0.4  # share of the far detections that are left out first, the most object-like
_FOLDS = 5
_MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    The vectors that a hold rule is fitted to, each float [N, D] of unit length.

    Attributes:
        objects: labelled objects, and detections that a person has confirmed.
        near: best detections on images below the top of the ranking. Most hold no object, but in
            a bad pool many do.
        far: best detections on images from the rest of the ranking, where objects are rarer.
        negatives: best detections on images that a person judged to hold no object.
        hardest: best detections at the top of the ranking, to compare the two rules on.
    """

    objects: np.ndarray
    near: np.ndarray
    far: np.ndarray
    negatives: np.ndarray
    hardest: np.ndarray

    @property
    def presumed(self) -> np.ndarray:
        return np.concatenate([self.near, self.far])


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict on a rule: whether it may decide without a person, and the reason."""

    is_trusted: bool
    reason: str


class HoldRule:
    """
    A decision on each detection; above 0, it looks like a true object.

    It is the lower one of two decisions: that of a linear probe, and the contrast, which is the
    mean cosine to the five nearest objects less that to the five nearest negatives. The negatives
    of both are the judged ones, and those of the presumed ones that `find_negatives` leaves. Where
    nearly all labelled objects lie far above zero when they are left out of the fit, zero moves up
    to where 19 of 20 of them still lie above it.

    Attributes:
        trust: whether the decisions may keep images from being mined.
        num_objects: objects that it rests on.
        num_presumed: presumed negatives that it rests on.
    """

    def __init__(self, evidence: Evidence) -> None:
        """Fit the rule. With next to no evidence it decides nothing: see `trust`."""
        presumed = evidence.presumed
        self.num_objects, self.num_presumed = len(evidence.objects), len(presumed)
        self.trust = _check_counts(self.num_objects, self.num_presumed)
        self._probe: LogisticRegression | None = None
        self._zero = 0.0
        if self.num_objects < _FOLDS or self.num_presumed < MIN_PRESUMED:
            return
        kept = presumed[find_negatives(evidence)]
        self.num_presumed = len(kept)
        self._objects = evidence.objects
        self._negatives = np.concatenate([evidence.negatives, kept])
        self._probe = _fit_probe(self._objects, self._negatives)
        unseen = _cross_decide(self._objects, self._negatives)
        self._zero = max(0.0, float(np.quantile(unseen.min(axis=0), _MISSED_SHARE)))
        if self.trust.is_trusted:
            self.trust = self._check_decisions(unseen[0] > 0, evidence.hardest)

    @property
    def is_fitted(self) -> bool:
        return self._probe is not None

    def decisions(self, vectors: np.ndarray) -> np.ndarray:
        """Return float64 [N] for vectors [N, D]; minus infinity where the rule decides nothing."""
        if self._probe is None or len(vectors) == 0:
            return np.full(len(vectors), -np.inf)
        contrasts = _contrasts(vectors, self._objects, self._negatives)
        lower: np.ndarray = np.minimum(_decide(self._probe, vectors), contrasts)
        return lower - self._zero

    def _check_decisions(self, found: np.ndarray, hardest: np.ndarray) -> Trust:
        """Check that most objects were `found` unseen, by the probe, and that the rules agree."""
        if found.mean() < MIN_RECALL:
            return Trust(
                False,
                f"it recognises {found.sum()} of {len(found)} labelled objects that it has not "
                f"seen, and {MIN_RECALL:.0%} are needed: label more objects",
            )
        agree = self._count_agreeing(hardest)
        if agree < MIN_AGREEMENT * len(hardest):
            return Trust(
                False,
                f"its two rules agree on {agree} of the {len(hardest)} hardest images, and "
                f"{MIN_AGREEMENT:.0%} are needed: judge some of them",
            )
        return Trust(
            True,
            f"it recognises {found.sum()} of {len(found)} labelled objects that it has not seen, "
            f"and its two rules agree on {agree} of the {len(hardest)} hardest images",
        )

    def _count_agreeing(self, vectors: np.ndarray) -> int:
        if len(vectors) == 0:
            return 0
        assert self._probe is not None
        contrasts = _contrasts(vectors, self._objects, self._negatives)
        agree = (_decide(self._probe, vectors) > 0) == (contrasts > 0)
        return int(agree.sum())


def find_negatives(evidence: Evidence) -> np.ndarray:
    """
    Find the presumed negatives that are none of the objects that nobody has labelled.

    It begins with far detections, without the most object-like ones. A probe is fitted to those,
    and its word on each presumed negative (by a probe that was fitted without it) says which ones
    the next probe is fitted to, until no word changes. Beginning with the whole set instead, a
    pool with more unlabelled objects than others teaches the probe that objects are negatives.

    Returns:
        bool [near + far]; at least `MIN_PRESUMED` are True.
    """
    keep = _first_negatives(evidence)
    seen = [keep]
    for _ in range(_MAX_ROUNDS):
        decisions = _decide_on_presumed(evidence, keep)
        keep = decisions <= 0
        keep[np.argsort(decisions, kind="stable")[:MIN_PRESUMED]] = True
        if any(np.array_equal(keep, earlier) for earlier in seen):
            break
        seen.append(keep)
    return keep


def _first_negatives(evidence: Evidence) -> np.ndarray:
    """Take the far detections least like objects; the least of all where there are too few."""
    similarity = mean_similarity(evidence.presumed, evidence.objects)
    is_far = np.arange(len(similarity)) >= len(evidence.near)
    if is_far.sum() < MIN_PRESUMED:
        is_far[:] = True
    limit = np.quantile(similarity[is_far], 1 - _FIRST_PURGE)
    keep: np.ndarray = is_far & (similarity <= limit)
    keep[np.argsort(np.where(is_far, similarity, np.inf), kind="stable")[:MIN_PRESUMED]] = True
    return keep


def _decide_on_presumed(evidence: Evidence, keep: np.ndarray) -> np.ndarray:
    """Decide on each presumed negative by a probe of the kept ones in the other folds."""
    presumed = evidence.presumed
    folds = np.arange(len(presumed)) % _FOLDS
    decisions = np.empty(len(presumed))
    for fold in range(_FOLDS):
        others = presumed[keep & (folds != fold)]
        probe = _fit_probe(evidence.objects, np.concatenate([evidence.negatives, others]))
        decisions[folds == fold] = _decide(probe, presumed[folds == fold])
    return decisions


def _cross_decide(objects: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Decide on each object by the others, in folds: float64 [2, P], probe and contrast."""
    folds = np.arange(len(objects)) % _FOLDS
    decisions = np.empty((2, len(objects)))
    for fold in range(_FOLDS):
        unseen, others = objects[folds == fold], objects[folds != fold]
        decisions[0, folds == fold] = _decide(_fit_probe(others, negatives), unseen)
        decisions[1, folds == fold] = _contrasts(unseen, others, negatives)
    return decisions


def _contrasts(vectors: np.ndarray, objects: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    nearer = mean_similarity(vectors, objects) - mean_similarity(vectors, negatives)
    contrasts: np.ndarray = _CONTRAST_SCALE * nearer
    return contrasts


def _fit_probe(objects: np.ndarray, negatives: np.ndarray) -> LogisticRegression:
    """Fit log-odds of an object; both sides weigh the same, however many they are."""
    vectors = np.concatenate([objects, negatives]).astype(np.float64)
    is_object = np.arange(len(vectors)) < len(objects)
    return LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(vectors, is_object)


def _decide(probe: LogisticRegression, vectors: np.ndarray) -> np.ndarray:
    decisions: np.ndarray = probe.decision_function(vectors.astype(np.float64))
    return decisions


def _check_counts(num_objects: int, num_presumed: int) -> Trust:
    if num_objects < MIN_OBJECTS:
        return Trust(
            False, f"there are {num_objects} labelled objects, and {MIN_OBJECTS} are needed"
        )
    if num_presumed < MIN_PRESUMED:
        return Trust(
            False,
            f"there are {num_presumed} images with detections beyond the hardest ones to compare "
            f"with, and {MIN_PRESUMED} are needed",
        )
    return Trust(True, "")
