import pytest

from hardneg.schemas.stats import ComparisonOut, FalseDetectionFigures, Figures, IntervalOut
from hardneg.schemas.training_runs import Promotion
from service.training_runs.promotion import decide, is_better


def interval(value: float | None) -> IntervalOut:
    return IntervalOut(value=value, low=value, high=value)


def comparison(before: float, after: float | None, ap_difference: float) -> ComparisonOut:
    return ComparisonOut(
        model_version_id=1,
        recall=0.9,
        fppi_before=interval(0.0),  # at one recall: the rule looks at several
        fppi=interval(9.0),
        lowest_recall=0.87,
        highest_recall=0.93,
        mean_fppi_before=interval(before),
        mean_fppi=interval(after),
        mean_fppi_difference=interval(None if after is None else after - before),
        ap50_95_difference=interval(ap_difference),
    )


def figures(ap: float | None, fppi: float | None) -> Figures:
    at_half = (
        []
        if fppi is None
        else [
            FalseDetectionFigures(
                threshold=0.5,
                false_detections=interval(fppi * 10),
                fppi=interval(fppi),
                share_of_images=interval(0.1),
            )
        ]
    )
    return Figures(
        num_val_images=1,
        num_objects=1,
        num_negative_images=10,
        ap50_95=None if ap is None else interval(ap),
        ap50=None,
        recall=None,
        false_detections=at_half,
    )


@pytest.mark.parametrize(
    ("found", "decision", "reason"),
    [
        (
            comparison(2.0, 0.5, 0.0),
            "promoted",
            "from 2.000 to 0.500 at 87.0% to 93.0% recall (-1.500",
        ),
        (comparison(2.0, 0.5, -0.009), "promoted", "changed by -0.009"),
        (comparison(2.0, 0.5, -0.011), "refused", "AP dropped by more than 0.01"),
        (comparison(2.0, 2.0, 0.1), "refused", "did not fall"),
        (comparison(2.0, None, 0.1), "refused", "never finds 90.0% of the objects"),
        (None, "offered", "can't be compared"),
    ],
)
def test_auto_promotes_only_what_is_better(
    found: ComparisonOut | None, decision: str, reason: str
) -> None:
    decided = decide(Promotion.AUTO, found, serves_any=True, ap_margin=0.01)

    assert decided.decision == decision
    assert reason in decided.reason


@pytest.mark.parametrize("rule", [Promotion.MANUAL, Promotion.NEVER])
def test_other_rules_only_offer(rule: Promotion) -> None:
    found = comparison(2.0, 0.0, 0.1)

    assert decide(rule, found, serves_any=True, ap_margin=0.01).decision == "offered"
    assert decide(rule, None, serves_any=False, ap_margin=0.01).decision == "offered"


def test_first_version_is_promoted() -> None:
    assert decide(Promotion.AUTO, None, serves_any=False, ap_margin=0.01).decision == "promoted"


@pytest.mark.parametrize(
    ("now", "before", "better"),
    [
        (figures(0.6, 2.0), figures(0.6, 2.0), False),
        (figures(0.61, 3.0), figures(0.6, 2.0), True),
        (figures(0.5, 1.0), figures(0.6, 2.0), True),
        (figures(0.5, 3.0), figures(0.6, 2.0), False),
        (figures(None, None), figures(None, None), True),
        (figures(None, 3.0), figures(None, 2.0), False),
    ],
)
def test_round_is_better_when_either_curve_improves(
    now: Figures, before: Figures, better: bool
) -> None:
    assert is_better(now, before) is better
