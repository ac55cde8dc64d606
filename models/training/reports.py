"""What a training run tells while it goes on, and when it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["completed", "stopped early", "cancelled"]


class NonFiniteLossError(ArithmeticError):
    """
    A loss, or the gradient it gave, is infinite or NaN; the run cannot go on.

    Attributes:
        step: counted from 0 over the whole run.
        parts: every part of the loss by name.
    """

    def __init__(self, step: int, parts: Mapping[str, float], what: str = "loss") -> None:
        self.step, self.parts = step, dict(parts)
        values = ", ".join(f"{name} {value:g}" for name, value in self.parts.items())
        super().__init__(f"the {what} is not finite at step {step} ({values})")


@dataclass(frozen=True, slots=True)
class EpochReport:
    """
    One finished epoch.

    Attributes:
        epoch: counted from 1.
        num_epochs: planned.
        step: steps done since the start of the run.
        losses: mean of each part over the epoch's steps, in the first process.
        learning_rate: of its last step.
        ap50_95, ap50: on the validation images; NaN without any.
        is_best: whether these are the best weights so far.
        duration_s: wall time, with the evaluation; since the resume, if that fell into it.
    """

    epoch: int
    num_epochs: int
    step: int
    losses: Mapping[str, float]
    learning_rate: float
    ap50_95: float
    ap50: float
    is_best: bool
    duration_s: float


@dataclass(frozen=True, slots=True)
class StepReport:
    """Progress: `step` of `num_steps` are done, the last one with this loss."""

    step: int
    num_steps: int
    loss: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """
    A finished or cancelled run; the detector then holds the best epoch's weights.

    Attributes:
        outcome: why it ended.
        best_epoch: counted from 1; None if it was cancelled in the first epoch, and the detector
            holds what that left.
        best_ap50_95: on the validation images; NaN without any.
        history: all epochs, those before a resume too.
    """

    outcome: Outcome
    best_epoch: int | None
    best_ap50_95: float
    history: tuple[EpochReport, ...]
