"""Reports of a training run, during it and at its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["completed", "stopped early", "cancelled"]


class NonFiniteLossError(ArithmeticError):
    """
    A loss or gradient that is infinite or NaN; the run cannot continue.

    Attributes:
        step: step of the whole run, from 0.
        parts: parts of the loss by name.
    """

    def __init__(self, step: int, parts: Mapping[str, float], what: str = "loss") -> None:
        self.step, self.parts = step, dict(parts)
        values = ", ".join(f"{name} {value:g}" for name, value in self.parts.items())
        super().__init__(f"the {what} is not finite at step {step} ({values})")
        self._arguments = (step, self.parts, what)

    def __reduce__(self) -> tuple[object, ...]:
        return NonFiniteLossError, self._arguments


@dataclass(frozen=True, slots=True)
class EpochReport:
    """
    The results of a finished epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        num_epochs: number of epochs planned.
        step: steps done since the start of the run.
        losses: mean of each part over the epoch's steps, in the first process.
        learning_rate: rate at the last step.
        ap50_95, ap50: figures on the validation images; NaN without any.
        is_best: True if these are the best weights so far.
        duration_s: wall time including the evaluation; in a resumed epoch, since the resume.
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
    """Progress: `step` of `num_steps` are done; `loss` is that of the last one."""

    step: int
    num_steps: int
    loss: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """
    A finished or cancelled run; the detector then holds the best epoch's weights.

    Attributes:
        outcome: how the run ended.
        best_epoch: number of the epoch, from 1; None if the run was cancelled in the first epoch:
            the detector then holds the weights of its last step.
        best_ap50_95: AP of that epoch on the validation images; NaN without any.
        history: reports of all epochs, including those before a resume.
    """

    outcome: Outcome
    best_epoch: int | None
    best_ap50_95: float
    history: tuple[EpochReport, ...]
