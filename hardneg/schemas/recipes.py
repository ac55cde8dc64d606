"""The parameters of a training, and the recipes that it tried."""

from enum import StrEnum

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from hardneg.schemas.text import PlainText


class RecipeChoice(StrEnum):
    """The source of a training's share and weight of negatives: the request, or a trial."""

    GIVEN = "given"
    AUTO = "auto"


class AugmentationChoice(StrEnum):
    """The variation of training images: light, crop, scale and mirroring, or less of that."""

    STANDARD = "standard"
    UNMIRRORED = "unmirrored"
    NONE = "none"


class SamplerIn(BaseModel):
    """The sampler of anchors that enter the loss; see `docs/explanation/samplers.md`."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText = Field(examples=["hard-negative"])
    batch_size_per_image: int = Field(256, ge=1, le=100_000)
    positive_fraction: float = Field(0.25, gt=0, le=1)
    min_neg: int | None = Field(None, ge=0, le=100_000)
    pool_size: float = Field(10.0, ge=1, le=1e6)
    neg_pos_ratio: float = Field(3.0, gt=0, le=1e6)


class Recipe(BaseModel):
    """Parameters of a training; some defaults depend on whether a parent version exists."""

    model_config = ConfigDict(extra="forbid")

    recipe: RecipeChoice = Field(
        RecipeChoice.GIVEN,
        description="`auto` tries three pairs of `negative_share` and `negative_weight`, and takes "
        "the one with the fewest false detections on a fifth of the pool, which from then on is "
        "never mined. It takes 7/3 of the steps.",
    )

    epochs: int = Field(10, ge=1, le=10_000)
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Steps of one epoch; null: as many as show every labelled image once.",
    )
    batch_size: int = Field(
        16,
        ge=1,
        le=1024,
        description="Images per step; if not given, fewer than 16 where 16 do not fit into the "
        "memory of a CPU training.",
    )
    negative_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Share of negatives in every batch, if the training list has any.",
    )
    learning_rate: float | None = Field(
        None, gt=0, le=10, description="Null: 0.0005 with a parent version, else 0.002."
    )
    backbone_rate_factor: float | None = Field(
        None,
        gt=0,
        le=1,
        validation_alias=AliasChoices("backbone_rate_factor", "trunk_rate_factor"),
        description="Factor on the learning rate of the backbone. Null: 0.1 for a backbone with "
        "pretrained weights, else 1.",
    )
    weight_decay: float = Field(1e-4, ge=0, le=10)
    warmup_steps: int = Field(20, ge=0, le=1_000_000)
    patience: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="End a training after this many epochs without a better AP; null never does.",
    )
    negative_weight: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Weight of background anchors in the loss; null: the detector family's own.",
    )
    sampler: SamplerIn | None = Field(
        None, description="Null: the detector family's own sampler, which learns from empty images."
    )
    augmentation: AugmentationChoice = Field(
        AugmentationChoice.STANDARD,
        description="`unmirrored` suits objects that read from left to right, such as text.",
    )


class RecipeFigures(BaseModel):
    """A version on the kept fifth of the pool, and on val."""

    mean_false_detections: float | None = Field(
        description="Detections on images of the fifth, where as many objects of val are found as "
        "the parent version finds, or one to four fewer: their mean. Null: it never finds as many."
    )
    ap50_95: float | None


class TriedRecipe(BaseModel):
    """One recipe: how far it was tried, and what became of it."""

    negative_share: float
    negative_weight: float
    after_third: RecipeFigures | None = Field(
        None, description="After a third of the steps; null until then."
    )
    finished: RecipeFigures | None = Field(
        None, description="After all steps; null until then, and for the worst after a third."
    )
    outcome: str | None = Field(
        None, description="dropped, not chosen or chosen; null until it is known."
    )


class RecipeTrials(BaseModel):
    """The recipes that a training with `recipe: auto` tried."""

    image_ids: list[int] = Field(
        description="The images of the kept fifth that false detections are counted on."
    )
    num_objects: int | None = Field(
        None, description="Objects of val that the parent version finds at its own threshold."
    )
    parent: RecipeFigures | None = None
    recipes: list[TriedRecipe]
    reason: str | None = Field(None, description="Why the chosen one was chosen.")
