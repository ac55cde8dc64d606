"""Retraining as clients ask for it and see it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self, TypedDict

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    computed_field,
    model_validator,
)

from hardneg.schemas.deprecation import DEPRECATED
from hardneg.schemas.firing import ComparedScore
from hardneg.schemas.hard_negatives import Coverage
from hardneg.schemas.hold_test import Selection
from hardneg.schemas.images import DetectionOut, ImageOut
from hardneg.schemas.recipes import (
    AugmentationChoice,
    Recipe,
    RecipeChoice,
    RecipeTrials,
    SamplerIn,
)
from hardneg.schemas.text import PlainText

# The bounds of `models.detectors.spec`, which loads torch; a test keeps them equal.
MIN_INPUT_SIDE, MAX_INPUT_SIDE = 32, 2048

Side = Annotated[int, Field(ge=MIN_INPUT_SIDE, le=MAX_INPUT_SIDE)]


class Strategy(StrEnum):
    """The choice of the next negatives from the pool."""

    HARD = "hard"
    FAMILIES = "families"
    RANDOM = "random"
    NONE = "none"


class Promotion(StrEnum):
    """The rule by which a new version may serve without a person's consent."""

    AUTO = "auto"
    MANUAL = "manual"
    NEVER = "never"


class FreezeRequest(BaseModel):
    """A request for a frozen list of images, and the rule for the version that comes of it."""

    model_config = ConfigDict(extra="forbid")

    start_from: PlainText | None = Field(
        None,
        min_length=1,
        description="Id or name of the parent version; the serving version by default.",
        examples=["v1"],
    )
    num_negatives: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="New negatives per round; null: as many as `negative_fraction` gives.",
    )
    negative_fraction: float = Field(
        0.15,
        ge=0,
        le=10,
        description="New negatives per round, as a fraction of the labelled training images.",
    )
    strategy: Strategy = Field(
        Strategy.HARD,
        description="`hard` takes the hardest images; `families` the hardest of each family of "
        "look-alikes in turn; `random` any; `none` trains for as many steps without new negatives.",
    )
    selection: Selection = Field(
        Selection(), description="Which of the images that `strategy` prefers are not mined."
    )
    promotion: Promotion = Field(
        Promotion.AUTO,
        description="`auto` lets a better version serve at once and refuses any other; `manual` "
        "and `never` offer every version for activation by a person.",
    )
    ap_margin: float = Field(
        0.01, ge=0, le=1, description="Loss of AP@[.5:.95] that `auto` still accepts."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1)


class RetrainRequest(Recipe, FreezeRequest):
    """A request for one or more rounds of mining and retraining."""

    architecture: PlainText | None = Field(
        None,
        description="Instead of a parent version: train a detector of this architecture, from "
        "`weights`.",
        examples=[None],
    )
    weights: PlainText | None = Field(
        None,
        description="With `architecture`: `imagenet` or `COCO_V1`; null: random weights.",
        examples=[None],
    )
    input_size: tuple[Side, Side] | None = Field(
        None, description="With `architecture`: (height, width) in pixels.", examples=[None]
    )
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=80)] | (
        None
    ) = Field(
        None,
        description="Name of the new version, followed by the number of its round if there are "
        "several; `v` and its id by default.",
        examples=[None],
    )
    iterations: int = Field(
        1,
        ge=1,
        le=100,
        description="Maximum number of rounds; a round that improves neither AP nor false "
        "detections is the last one.",
    )

    @model_validator(mode="after")
    def _starts_from_one_thing(self) -> Self:
        if self.architecture is not None and self.start_from is not None:
            raise ValueError("give either 'start_from' or 'architecture'")
        if self.architecture is None and (self.weights or self.input_size):
            raise ValueError("'weights' and 'input_size' need an 'architecture'")
        return self


class PreviewedImage(BaseModel):
    """One image that would be mined, as the parent version sees it."""

    max_score: float | None = Field(examples=[0.98])
    detections: list[DetectionOut]
    image: ImageOut


class RetrainPreview(BaseModel):
    """
    The first round that a retrain request would start now.

    The round itself tests its candidates for true objects and groups them, so it may mine other
    images.
    """

    parent_version: str | None = Field(
        description="Name of the version that the training starts from; null for a new detector.",
        examples=["v1"],
    )
    architecture: str = Field(examples=["ssd_small"])
    class_names: list[str] = Field(examples=[["raccoon"]])
    pool: Coverage | None = Field(
        description="How much of the pool the parent version has scored; the round first scores "
        "the rest. Null for a new detector, which mines nothing."
    )
    num_labelled: int = Field(description="Labelled images to train on.", examples=[134])
    num_kept: int = Field(description="Negatives that the parent version was trained on.")
    num_mined: int = Field(description="New negatives from the pool.", examples=[20])
    num_held: int = Field(
        description="Images that look like true objects by the parent version's last hold test, "
        "and are therefore not mined."
    )
    num_val: int = Field(description="Labelled images that choose the best epoch.")
    num_sealed: int = Field(description="Sealed images that false detections are counted on.")
    learning_rate: float = Field(examples=[0.0005])
    batch_size: int = Field(description="Images per step.", examples=[16])
    negatives_per_batch: int = Field(description="Of the images of every batch.", examples=[5])
    steps_per_epoch: int = Field(examples=[13])
    num_steps: int = Field(description="Steps of all epochs of a round.", examples=[130])
    estimated_s: float | None = Field(
        description="Seconds that a round should take, from the last retraining of this "
        "architecture; null if there was none yet."
    )
    mined: list[PreviewedImage] = Field(
        description="The first of the new negatives; the hardest first with `strategy: hard`."
    )


class FreezeFields(TypedDict, total=False):
    """The fields of a `FreezeRequest`, as keyword arguments of the client."""

    start_from: str | None
    num_negatives: int | None
    negative_fraction: float
    strategy: Strategy | Literal["hard", "families", "random", "none"]
    selection: Selection | Mapping[str, object]
    promotion: Promotion | Literal["auto", "manual", "never"]
    ap_margin: float
    seed: int


class RetrainFields(FreezeFields, total=False):
    """The fields of a `RetrainRequest`, as keyword arguments of the client."""

    recipe: RecipeChoice | Literal["given", "auto"]
    epochs: int
    steps_per_epoch: int | None
    batch_size: int
    negative_share: float
    learning_rate: float | None
    backbone_rate_factor: float | None
    weight_decay: float
    warmup_steps: int
    patience: int | None
    negative_weight: float | None
    sampler: SamplerIn | Mapping[str, object] | None
    augmentation: AugmentationChoice | Literal["standard", "unmirrored", "none"]
    architecture: str | None
    weights: str | None
    input_size: tuple[int, int] | None
    name: str | None
    iterations: int


class HeldImage(BaseModel):
    """An image that looks as if it held a true object."""

    image_id: int
    decision: float = Field(description="Above 0; the higher, the more it looks like an object.")


class Holding(BaseModel):
    """The test for true objects that the new negatives of a training list went through."""

    is_applied: bool = Field(
        description="Whether the images of `held` were kept out of the list. Else the test was for "
        "review only, and some of them may be in it."
    )
    reason: str = Field(description="Why they were kept out, or were not.")
    num_tested: int = Field(description="Images of the pool that were tested.")
    held: list[HeldImage] = Field(
        [], description="Images of the pool that look like true objects, most object-like first."
    )
    suspicious_sealed: list[HeldImage] = Field([], description="The same among the sealed images.")


class TrainingRunOut(BaseModel):
    """One training, here or elsewhere: its training list, its epochs, and the decision."""

    id: int
    job_id: int | None = Field(
        description="The job that trains, or that measures a version trained elsewhere; null "
        "until that version is added with `training_run_id`."
    )
    iteration: int = Field(description="Number of the round within its job, from 1.")
    parent_version_id: int | None = Field(
        validation_alias=AliasChoices("parent_version_id", "start_version_id"),
        description="The version that the training started from; null if it started without one.",
    )
    model_version_id: int | None = Field(description="The new version; null until it is trained.")
    params: dict[str, object] = Field(description="The request, with its defaults filled in.")
    num_labelled: int = Field(description="Labelled images of the training list.")
    num_kept: int = Field(description="Negatives that the parent version was trained on.")
    num_mined: int = Field(description="Negatives that are new in this run.")
    holding: Holding | None = Field(
        None, description="The test for true objects; null if the new negatives were not tested."
    )
    recipes: RecipeTrials | None = Field(
        None, description="The recipes that were tried; null without `recipe: auto`."
    )
    history: list[dict[str, object]] = Field(description="Losses and AP of each epoch.")
    decision: str | None = Field(
        validation_alias=AliasChoices("decision", "verdict"),
        description="promoted, refused or offered; null until the version is measured.",
    )
    reason: str | None
    created_at: datetime
    finished_at: datetime | None

    @computed_field(description="Use `parent_version_id`.", json_schema_extra=DEPRECATED)  # type: ignore[prop-decorator]
    @property
    def start_version_id(self) -> int | None:
        return self.parent_version_id

    @computed_field(description="Use `decision`.", json_schema_extra=DEPRECATED)  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str | None:
        return self.decision


class TrainingRunPage(BaseModel):
    """One page of training runs, newest first."""

    items: list[TrainingRunOut]
    next_before_id: int | None


class TrainingImageOut(BaseModel):
    """One line of a frozen training list."""

    image_id: int
    sha256: str
    role: str = Field(description="labelled, kept or mined.")


class TrainingImagePage(BaseModel):
    """One page of a frozen training list, in order of image id."""

    items: list[TrainingImageOut]
    next_after_id: int | None


class MinedImage(BaseModel):
    """One new negative of a run, before and after its training."""

    before: ComparedScore = Field(description="By the parent version, which it was mined by.")
    now: ComparedScore = Field(description="By the run's own version; empty until it has scored.")
    image: ImageOut


class MinedPage(BaseModel):
    """One page of a run's new negatives, hardest first; images deleted since are left out."""

    items: list[MinedImage]
    next_offset: int | None = Field(
        description="Value of `offset` for the next page; null on the last page."
    )
