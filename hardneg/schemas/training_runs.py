"""What clients send and see of retraining."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from hardneg.schemas.text import PlainText
from models.detectors.spec import MAX_INPUT_SIDE, MIN_INPUT_SIDE

Side = Annotated[int, Field(ge=MIN_INPUT_SIDE, le=MAX_INPUT_SIDE)]


class Strategy(StrEnum):
    """How the next negatives are chosen from the pool."""

    HARD = "hard"
    RANDOM = "random"
    NONE = "none"


class Promotion(StrEnum):
    """Whether a new version may serve without anybody's word."""

    AUTO = "auto"
    MANUAL = "manual"
    NEVER = "never"


class AugmentationChoice(StrEnum):
    """How training images are changed: lit, cropped, shrunk and mirrored, or less of that."""

    STANDARD = "standard"
    UNMIRRORED = "unmirrored"
    NONE = "none"


class SamplerIn(BaseModel):
    """A choice of anchors that enter the loss; `docs/explanation/samplers.md` compares them."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText = Field(examples=["hard-negative"])
    batch_size_per_image: int = Field(256, ge=1, le=100_000)
    positive_fraction: float = Field(0.25, gt=0, le=1)
    min_neg: int | None = Field(None, ge=0, le=100_000)
    pool_size: float = Field(10.0, ge=1, le=1e6)
    neg_pos_ratio: float = Field(3.0, gt=0, le=1e6)


class Recipe(BaseModel):
    """How to train; what is null is chosen by whether a trained version is the start."""

    model_config = ConfigDict(extra="forbid")

    epochs: int = Field(10, ge=1, le=10_000)
    steps_per_epoch: int | None = Field(
        None, ge=1, le=1_000_000, description="Null shows every labelled image once."
    )
    batch_size: int = Field(16, ge=1, le=1024)
    negative_share: float = Field(
        0.3, ge=0, lt=1, description="Share of negatives in every batch, if there are any."
    )
    learning_rate: float | None = Field(
        None, gt=0, le=10, description="Null: 0.0005 from a trained version, else 0.002."
    )
    trunk_rate_factor: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the rate at which the trunk learns; null: 0.1 for one that started "
        "from pretrained weights, else 1.",
    )
    weight_decay: float = Field(1e-4, ge=0, le=10)
    warmup_steps: int = Field(20, ge=0, le=1_000_000)
    patience: int | None = Field(
        None, ge=1, le=10_000, description="Epochs without a better AP that end a training early."
    )
    negative_weight: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Weight of background anchors in the loss; null is the detector family's own.",
    )
    sampler: SamplerIn | None = Field(
        None, description="Null is the detector family's own, which learns from empty images."
    )
    augmentation: AugmentationChoice = Field(
        AugmentationChoice.STANDARD,
        description="`unmirrored` for what reads from left to right, such as text; or `none`.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1)


class RetrainRequest(Recipe):
    """One retraining, or several rounds of mining and retraining."""

    start_from: PlainText | None = Field(
        None,
        min_length=1,
        description="Id or name of a version; the serving one by default.",
        examples=["v1"],
    )
    architecture: PlainText | None = Field(
        None,
        description="Instead of a version: train a detector of this architecture from `weights`.",
        examples=[None],
    )
    weights: PlainText | None = Field(
        None,
        description="With `architecture`: `imagenet`, `COCO_V1`; null is random.",
        examples=[None],
    )
    input_size: tuple[Side, Side] | None = Field(
        None, description="With `architecture`: (height, width) in pixels.", examples=[None]
    )
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=80)] | (
        None
    ) = Field(None, description="What to call the new version.", examples=[None])
    num_negatives: int | None = Field(
        None, ge=0, le=1_000_000, description="New negatives a round; null is by the fraction."
    )
    negative_fraction: float = Field(
        0.15, ge=0, le=10, description="New negatives a round, by the labelled training images."
    )
    strategy: Strategy = Field(
        Strategy.HARD, description="`none` takes the same steps without new negatives."
    )
    iterations: int = Field(
        1, ge=1, le=100, description="Rounds at most; they end when nothing improves any more."
    )
    promotion: Promotion = Promotion.AUTO
    ap_margin: float = Field(
        0.01, ge=0, le=1, description="`auto` accepts this much loss of AP@[.5:.95]."
    )

    @model_validator(mode="after")
    def _starts_from_one_thing(self) -> Self:
        if self.architecture is not None and self.start_from is not None:
            raise ValueError("give either 'start_from' or 'architecture'")
        if self.architecture is None and (self.weights or self.input_size):
            raise ValueError("'weights' and 'input_size' need an 'architecture'")
        return self


class TrainingRunOut(BaseModel):
    """One retraining within a job."""

    id: int
    job_id: int
    iteration: int = Field(description="Counted from 1.")
    start_version_id: int | None
    model_version_id: int | None = Field(description="Null until it is trained.")
    params: dict[str, object]
    num_labelled: int
    num_kept: int = Field(description="Negatives of the version it started from.")
    num_mined: int = Field(description="Negatives that are new.")
    history: list[dict[str, object]] = Field(description="One item for each epoch.")
    verdict: str | None = Field(description="promoted, refused or offered; null until measured.")
    reason: str | None
    created_at: datetime
    finished_at: datetime | None


class TrainingRunPage(BaseModel):
    """Training runs, newest first."""

    items: list[TrainingRunOut]
    next_before_id: int | None


class TrainingImageOut(BaseModel):
    """One line of a frozen training list."""

    image_id: int
    sha256: str
    role: str = Field(description="labelled, kept or mined.")


class TrainingImagePage(BaseModel):
    """A frozen training list in order of image id."""

    items: list[TrainingImageOut]
    next_after_id: int | None
