"""What clients see of measurements; every number has its 95 % interval."""

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
    """A measured value between the bounds of its 95 % interval; null where nothing is measured."""

    value: float | None = Field(examples=[0.31])
    low: float | None = Field(examples=[0.22])
    high: float | None = Field(examples=[0.41])

    @classmethod
    def of(cls, interval: MeasuredInterval) -> "IntervalOut":
        return cls(
            value=finite(interval.value), low=finite(interval.low), high=finite(interval.high)
        )


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class FalseDetectionFigures(BaseModel):
    """False detections on the sealed negatives at one score threshold."""

    threshold: float = Field(examples=[0.5])
    false_detections: IntervalOut
    fppi: IntervalOut = Field(description="False detections per image.")
    share_of_images: IntervalOut = Field(description="Images with at least one.")


class ComparisonOut(BaseModel):
    """A version against another one, where both find as many objects."""

    model_version_id: int = Field(description="The other one.")
    recall: float = Field(description="That the other one has at score 0.5, held for both.")
    fppi_before: IntervalOut = Field(description="Of the other one, on the sealed negatives.")
    fppi: IntervalOut = Field(description="Of this one; null if it never reaches the recall.")
    ap50_95_difference: IntervalOut = Field(description="This one's minus the other's, paired.")


class Figures(BaseModel):
    """What a version was measured at."""

    num_val_images: int
    num_objects: int
    num_negative_images: int
    ap50_95: IntervalOut | None = Field(description="Null without objects on val.")
    ap50: float | None
    recall: IntervalOut | None = Field(description="At IoU 0.5 and score 0.5.")
    false_detections: list[FalseDetectionFigures] = Field(description="At scores 0.3 and 0.5.")
    comparison: ComparisonOut | None = Field(None, description="With what it was trained from.")

    def at(self, threshold: float) -> FalseDetectionFigures | None:
        """False detections at one of the thresholds that are kept."""
        return next((item for item in self.false_detections if item.threshold == threshold), None)


class Iteration(BaseModel):
    """One version as a point of the two curves: AP, and false detections."""

    model_version_id: int
    model_version: str = Field(examples=["v3"])
    parent_version_id: int | None = Field(
        validation_alias=AliasChoices("parent_version_id", "start_version_id"),
        description="The version that it was trained from.",
    )
    is_serving: bool
    job_id: int | None = Field(description="Null for a version that was uploaded.")
    iteration: int | None
    strategy: str | None = Field(examples=["hard"])
    num_mined: int = Field(description="Negatives new in its training list.")
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
    """Versions in the order in which they came."""

    items: list[Iteration]
    next_after_id: int | None


class ClassFppi(BaseModel):
    label: str = Field(examples=["raccoon"])
    fppi: IntervalOut


class HistogramBin(BaseModel):
    """Sealed images whose highest score lies from `low` to below `high`."""

    low: float
    high: float
    num_images: int
    share_of_images: IntervalOut


class FrocPoint(BaseModel):
    """Recall and false detections per image, of val and negative-test, at a threshold."""

    threshold: float
    recall: float
    fppi: float


class FalseDetectionReport(FalseDetectionFigures):
    """All that one version finds on the sealed negatives."""

    model_version: str
    num_images: int = Field(description="Sealed images that the version has scored.")
    num_unscored: int = Field(description="Sealed images that it has not, or failed on.")
    by_class: list[ClassFppi]
    histogram: list[HistogramBin]
    froc: list[FrocPoint] = Field(description="Empty without objects on val.")
