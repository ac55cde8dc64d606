"""Measurements as clients see them, with their 95 % intervals."""

import math
from datetime import datetime
from typing import Protocol

from pydantic import AliasChoices, BaseModel, Field, computed_field

from hardneg.schemas.deprecation import DEPRECATED


class MeasuredInterval(Protocol):
    """A measured value and the bounds of its interval; NaN where nothing is measured."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class IntervalOut(BaseModel):
    """A measured value and the bounds of its 95 % interval; null where nothing was measured."""

    value: float | None = Field(examples=[0.31])
    low: float | None = Field(examples=[0.22])
    high: float | None = Field(examples=[0.41])

    @classmethod
    def of(cls, interval: MeasuredInterval) -> "IntervalOut":
        """Convert an interval; NaN and infinite bounds become null, as JSON needs it."""
        return cls(
            value=finite(interval.value), low=finite(interval.low), high=finite(interval.high)
        )


def finite(value: float) -> float | None:
    """Return the value, or None if JSON cannot hold it."""
    return value if math.isfinite(value) else None


class FalseDetectionFigures(BaseModel):
    """False detections on the sealed negatives, at one score threshold."""

    threshold: float = Field(examples=[0.5])
    false_detections: IntervalOut
    fppi: IntervalOut = Field(description="False detections per image.")
    share_of_images: IntervalOut = Field(
        description="Share of images with at least one false detection."
    )


class ComparisonOut(BaseModel):
    """
    A version compared with another one, at the same recalls.

    The fields on several recalls are null in comparisons that were made before they existed.
    """

    model_version_id: int = Field(description="The other version.")
    recall: float = Field(description="Recall of the other version at its operating threshold.")
    threshold: float | None = Field(
        None,
        description="Score threshold at which this version has that recall; null if none gives it.",
    )
    fppi_before: IntervalOut = Field(
        description="False detections per sealed image of the other version."
    )
    fppi: IntervalOut = Field(
        description="False detections per sealed image of this version; null if it never reaches "
        "the recall."
    )
    lowest_recall: float | None = Field(
        None, description="Of the recalls around `recall` that the means are taken over."
    )
    highest_recall: float | None = Field(None, description="As above.")
    mean_fppi_before: IntervalOut | None = Field(
        None,
        description="False detections per sealed image of the other version, averaged over the "
        "recalls from `lowest_recall` to `highest_recall`.",
    )
    mean_fppi: IntervalOut | None = Field(
        None,
        description="The same of this version; its value is null if it never reaches `recall`.",
    )
    mean_fppi_difference: IntervalOut | None = Field(
        None, description="`mean_fppi` minus `mean_fppi_before`, paired by image."
    )
    ap50_95_difference: IntervalOut = Field(
        description="AP of this version minus AP of the other one, paired by image."
    )


class Figures(BaseModel):
    """The figures measured for one version."""

    num_val_images: int
    num_objects: int
    num_negative_images: int
    ap50_95: IntervalOut | None = Field(
        description="AP@[.5:.95] on val; null if no object is labelled there."
    )
    ap50: float | None = Field(description="AP at IoU 0.5 on val; null as above.")
    recall: IntervalOut | None = Field(description="Recall on val, at IoU 0.5 and score 0.5.")
    false_detections: list[FalseDetectionFigures] = Field(description="At scores 0.3 and 0.5.")
    operating_threshold: float = Field(
        0.5,
        description="Score threshold at which the version finds as many objects of val as its "
        "parent version does at its own; 0.5 without a parent, or if it never finds as many. Use "
        "it in place of a fixed threshold: after mining, scores are lower.",
    )
    comparison: ComparisonOut | None = Field(
        None, description="Comparison with the parent version; null without one."
    )

    def at(self, threshold: float) -> FalseDetectionFigures | None:
        """Return the false detections at a threshold; None if it is not among those kept."""
        return next((item for item in self.false_detections if item.threshold == threshold), None)


class Iteration(BaseModel):
    """One version as a point of the two curves of a mining run: AP, and false detections."""

    model_version_id: int
    model_version: str = Field(examples=["v3"])
    parent_version_id: int | None = Field(
        validation_alias=AliasChoices("parent_version_id", "start_version_id"),
        description="The version that its training started from.",
    )
    is_serving: bool
    job_id: int | None = Field(description="Null for a version that was uploaded.")
    iteration: int | None
    strategy: str | None = Field(examples=["hard"])
    num_mined: int = Field(
        description="Negatives of its training list that its parent was not trained on."
    )
    num_negatives: int = Field(description="All negatives of its training list.")
    decision: str | None = Field(
        validation_alias=AliasChoices("decision", "verdict"),
        description="promoted, refused or offered; null for a version that was uploaded.",
    )
    reason: str | None
    figures: Figures | None
    evaluated_at: datetime | None
    created_at: datetime

    @computed_field(description="Use `parent_version_id`.", json_schema_extra=DEPRECATED)  # type: ignore[prop-decorator]
    @property
    def start_version_id(self) -> int | None:
        return self.parent_version_id

    @computed_field(description="Use `decision`.", json_schema_extra=DEPRECATED)  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str | None:
        return self.decision


class IterationPage(BaseModel):
    """One page of versions, oldest first."""

    items: list[Iteration]
    next_after_id: int | None


class ClassFppi(BaseModel):
    """False detections per image of one class."""

    label: str = Field(examples=["raccoon"])
    fppi: IntervalOut


class HistogramBin(BaseModel):
    """Sealed images whose highest score is at least `low` and below `high`."""

    low: float
    high: float
    num_images: int
    share_of_images: IntervalOut


class FrocPoint(BaseModel):
    """Recall on val and false detections per sealed image, at one score threshold."""

    threshold: float
    recall: float
    fppi: float


class FalseDetectionReport(FalseDetectionFigures):
    """Everything that one version detects on the sealed negatives."""

    model_version: str
    num_images: int = Field(description="Sealed images that the version has scored.")
    num_unscored: int = Field(description="Sealed images that it has not scored, or failed on.")
    by_class: list[ClassFppi]
    histogram: list[HistogramBin]
    froc: list[FrocPoint] = Field(description="Empty if no object is labelled on val.")
