"""The rules by which a new version serves, and by which a round counts as an improvement."""

from dataclasses import dataclass
from typing import Literal

from hardneg.schemas.stats import ComparisonOut, Figures
from hardneg.schemas.training_runs import Promotion

Decision = Literal["promoted", "refused", "offered"]


@dataclass(frozen=True, slots=True)
class ReasonedDecision:
    """A decision on a new version, with its reason in a sentence."""

    decision: Decision
    reason: str


def decide(
    rule: Promotion, comparison: ComparisonOut | None, *, serves_any: bool, ap_margin: float
) -> ReasonedDecision:
    """
    Apply a promotion rule to a new version.

    `auto` promotes it when no version serves yet, or when false detections per sealed image fell
    at the serving version's recall and AP@[.5:.95] did not drop by more than the margin.

    Args:
        rule: the request's.
        comparison: the new version against the serving one; None if they cannot be compared.
        serves_any: whether a version serves.
        ap_margin: the accepted loss of AP@[.5:.95], in [0, 1].
    """
    if rule is Promotion.NEVER:
        return ReasonedDecision("offered", "the request's promotion rule is 'never'")
    if rule is Promotion.MANUAL:
        return ReasonedDecision("offered", "it waits for POST /model-versions/ID/activate")
    if not serves_any:
        return ReasonedDecision("promoted", "no version served before")
    if comparison is None:
        return ReasonedDecision(
            "offered",
            "it can't be compared with the serving version: both must know the same classes, val "
            "must have objects of which the serving version finds at least one, and negative-test "
            "must have images",
        )
    return _decide_by(comparison, ap_margin)


def _decide_by(comparison: ComparisonOut, ap_margin: float) -> ReasonedDecision:
    before, after = comparison.fppi_before.value, comparison.fppi.value
    difference = comparison.ap50_95_difference
    ap_text = _signed(difference.value)
    if difference.low is not None and difference.high is not None:
        ap_text += f" ({_signed(difference.low)} to {_signed(difference.high)})"
    if after is None or before is None:
        return ReasonedDecision(
            "refused",
            f"it never finds {comparison.recall:.1%} of the objects, as the serving version does",
        )
    fppi_text = (
        f"false detections per sealed image went from {before:.3f} to {after:.3f} at "
        f"{comparison.recall:.1%} recall, AP@[.5:.95] changed by {ap_text}"
    )
    if after >= before:
        return ReasonedDecision("refused", f"false detections did not fall: {fppi_text}")
    if difference.value is None or difference.value < -ap_margin:
        return ReasonedDecision("refused", f"AP dropped by more than {ap_margin:g}: {fppi_text}")
    return ReasonedDecision("promoted", fppi_text)


def is_better(figures: Figures, before: Figures) -> bool:
    """
    Return whether AP improved, or false detections at score 0.5 fell.

    Returns True where neither was measured for both.
    """
    fppi, fppi_before = _fppi(figures), _fppi(before)
    ap, ap_before = figures.ap50_95, before.ap50_95
    is_measured = False
    if ap and ap_before and ap.value is not None:
        is_measured = True
        if ap_before.value is None or ap.value > ap_before.value:
            return True
    if fppi is not None and fppi_before is not None:
        is_measured = True
        if fppi < fppi_before:
            return True
    return not is_measured


def _fppi(figures: Figures) -> float | None:
    found = figures.at(0.5)
    return found.fppi.value if found else None


def _signed(value: float | None) -> str:
    return "an unknown amount" if value is None else f"{value:+.3f}"
