"""The rules by which a new version serves, and by which a round counts as an improvement."""

from dataclasses import dataclass
from typing import Literal

from hardneg.schemas.stats import ComparisonOut, Figures, IntervalOut
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

    `auto` promotes it when no version serves yet, or when false detections per sealed image,
    averaged over the recalls around the serving version's, fell and AP@[.5:.95] did not drop by
    more than the margin.

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
    before, after = comparison.mean_fppi_before, comparison.mean_fppi
    if before is None or after is None or before.value is None or after.value is None:
        return ReasonedDecision(
            "refused",
            f"it never finds {comparison.recall:.1%} of the objects, as the serving version does",
        )
    ap_difference = comparison.ap50_95_difference
    reason = (
        f"false detections per sealed image went from {before.value:.3f} to {after.value:.3f} at "
        f"{comparison.lowest_recall:.1%} to {comparison.highest_recall:.1%} recall"
        f"{_change(comparison.mean_fppi_difference)}, AP@[.5:.95] changed by "
        f"{_with_bounds(ap_difference)}"
    )
    if after.value >= before.value:
        return ReasonedDecision("refused", f"false detections did not fall: {reason}")
    if ap_difference.value is None or ap_difference.value < -ap_margin:
        return ReasonedDecision("refused", f"AP dropped by more than {ap_margin:g}: {reason}")
    return ReasonedDecision("promoted", reason)


def _change(difference: IntervalOut | None) -> str:
    return "" if difference is None else f" ({_with_bounds(difference)})"


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


def _with_bounds(interval: IntervalOut) -> str:
    """Format a difference with the bounds of its interval, where it has any."""
    text = _signed(interval.value)
    if interval.low is not None and interval.high is not None:
        text += f" [{_signed(interval.low)}, {_signed(interval.high)}]"
    return text


def _signed(value: float | None) -> str:
    return "an unknown amount" if value is None else f"{value:+.3f}"
