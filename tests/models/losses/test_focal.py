"""Focal loss, against torchvision's."""

from typing import Literal

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from models.losses import FocalLoss


@pytest.mark.parametrize("alpha", [-1, 0.0, 0.25, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_value_and_gradient_equal_those_of_torchvision(
    alpha: float, gamma: float, reduction: Literal["none", "mean", "sum"]
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn((3, 50, 4), generator=generator)
    targets = (torch.rand(logits.shape, generator=generator) < 0.1).float()
    targets[0, 0] = 0.3
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()

    loss = FocalLoss(alpha, gamma, reduction)(ours, targets)
    expected = sigmoid_focal_loss(theirs, targets, alpha, gamma, reduction)
    loss.sum().backward()
    expected.sum().backward()

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_integer_targets_are_accepted() -> None:
    logits = torch.tensor([0.0, 0.0])

    assert FocalLoss()(logits, torch.tensor([1, 0])).tolist() == pytest.approx(
        [0.25 * 0.25 * 0.693147, 0.75 * 0.25 * 0.693147], rel=1e-5
    )


def test_bad_input_is_refused() -> None:
    for alpha in (1.5, -0.5):
        with pytest.raises(ValueError, match="alpha"):
            FocalLoss(alpha=alpha)
    with pytest.raises(ValueError, match="gamma"):
        FocalLoss(gamma=-1)
    with pytest.raises(ValueError, match="reduction"):
        FocalLoss(reduction="avg")  # type: ignore[arg-type]  # what the check is for
    with pytest.raises(ValueError, match="must be equal"):
        FocalLoss()(torch.zeros(3), torch.zeros(2))
