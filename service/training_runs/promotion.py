"""Whether a new version may serve, and whether another round is worth it."""

from dataclasses import dataclass
from typing import Literal

from hardneg.schemas.stats import ComparisonOut, Figures
from hardneg.schemas.training_runs import Promotion

Verdict = Literal["promoted", "refused", "offered"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on serving, and the reason for it in a sentence."""

    verdict: Verdict
    reason: str


def decide(
    rule: Promotion, comparison: ComparisonOut | None, *, serves_any: bool, ap_margin: float
) -> Decision:
    """
    Apply a promotion rule to what the candidate was measured at.

    `auto` promotes when nothing serves yet, or when false detections per sealed negative fell at
    the recall of the version that serves and AP@[.5:.95] did not drop by more than the margin.
    """
    if rule is Promotion.NEVER:
        return Decision("offered", "the request says never to promote by itself")
    if rule is Promotion.MANUAL:
        return Decision("offered", "it waits for POST /model-versions/ID/activate")
    if not serves_any:
        return Decision("promoted", "no version served before")
    if comparison is None:
        return Decision(
            "offered",
            "it can't be compared with the serving version: that takes the same classes, images "
            "with objects on val of which the serving version finds any, and sealed negatives",
        )
    return _decide_by(comparison, ap_margin)


def _decide_by(comparison: ComparisonOut, ap_margin: float) -> Decision:
    before, after = comparison.fppi_before.value, comparison.fppi.value
    difference = comparison.ap50_95_difference
    ap_text = _signed(difference.value)
    if difference.low is not None and difference.high is not None:
        ap_text += f" ({_signed(difference.low)} to {_signed(difference.high)})"
    if after is None or before is None:
        return Decision(
            "refused", f"it never finds {comparison.recall:.1%} of the objects, as before"
        )
    fppi_text = (
        f"false detections per sealed image went from {before:.3f} to {after:.3f} at "
        f"{comparison.recall:.1%} recall, AP@[.5:.95] changed by {ap_text}"
    )
    if after >= before:
        return Decision("refused", f"false detections did not fall: {fppi_text}")
    if difference.value is None or difference.value < -ap_margin:
        return Decision("refused", f"AP dropped by more than {ap_margin:g}: {fppi_text}")
    return Decision("promoted", fppi_text)


def is_better(figures: Figures, before: Figures) -> bool:
    """Whether AP improved or false detections at score 0.5 fell; with nothing to tell by, yes."""
    now, then = figures.at(0.5), before.at(0.5)
    told = False
    if figures.ap50_95 and before.ap50_95 and figures.ap50_95.value is not None:
        told = True
        if before.ap50_95.value is None or figures.ap50_95.value > before.ap50_95.value:
            return True
    if now and then and now.fppi.value is not None and then.fppi.value is not None:
        told = True
        if now.fppi.value < then.fppi.value:
            return True
    return not told


def _signed(value: float | None) -> str:
    return "an unknown amount" if value is None else f"{value:+.3f}"
