"""Hard-mining cross entropy, against plain loops and worked cases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from models.losses import HardMiningCrossEntropyLoss
from models.losses.hard_mining import background_loss


def random_batch(
    num_images: int, num_classes: int, num_anchors: int, share_positive: float, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((num_images, num_classes, num_anchors), generator=generator)
    labels = torch.randint(1, num_classes, (num_images, num_anchors), generator=generator)
    is_positive = torch.rand(labels.shape, generator=generator) < share_positive
    return logits, torch.where(is_positive, labels, 0)


def by_plain_loop(logits: Tensor, labels: Tensor, ratio: float, floor: int) -> Tensor:
    """Return float [B], from the whole cross entropy with its graph, one anchor at a time."""
    losses = functional.cross_entropy(logits, labels.clamp(min=0), reduction="none")
    totals = []
    for image_losses, image_labels in zip(losses, labels.tolist(), strict=True):
        positives = [a for a, label in enumerate(image_labels) if label > 0]
        negatives = [a for a, label in enumerate(image_labels) if label == 0]
        negatives.sort(key=image_losses.tolist().__getitem__, reverse=True)
        chosen = positives + negatives[: max(floor, math.ceil(ratio * len(positives)))]
        totals.append(sum((image_losses[a] for a in chosen), start=0 * image_losses.sum()))
    return torch.stack(totals)


@settings(deadline=None)
@given(
    st.integers(0, 100),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.5, 2.5, 3.0]),
    st.integers(0, 4),
)
def test_loss_and_gradient_match_a_plain_loop(
    seed: int, share_positive: float, ratio: float, floor: int
) -> None:
    logits, labels = random_batch(3, 4, 12, share_positive, seed)
    labels[0, :3] = -1
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    weight = torch.tensor([1.0, 2.0, 3.0])

    loss = HardMiningCrossEntropyLoss(ratio, floor)(ours, labels)
    expected = by_plain_loop(theirs, labels, ratio, floor)
    (gradient,) = torch.autograd.grad((weight * loss).sum(), ours)
    (expected_gradient,) = torch.autograd.grad((weight * expected).sum(), theirs)

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_golden_case() -> None:
    """Take two classes, with margins 0 for the positive and -1, 2, 0 for background anchors."""
    logits = torch.tensor([[[0.0, -1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    labels = torch.tensor([[1, 0, 0, 0]])

    (loss,) = HardMiningCrossEntropyLoss(2)(logits, labels)

    assert float(loss) == pytest.approx(math.log(2) + math.log(1 + math.e) + math.log(2))


def test_fault_upstream_an_empty_image_has_no_gradient() -> None:
    logits, labels = random_batch(1, 3, 200, 0.0)
    logits.requires_grad_()

    ours = HardMiningCrossEntropyLoss(3)(logits, labels)
    as_upstream = HardMiningCrossEntropyLoss(3, min_negatives=0)(logits, labels)

    (gradient,) = torch.autograd.grad(ours.sum(), logits)
    assert int(gradient[0].any(dim=0).sum()) == 64
    assert as_upstream.tolist() == [0.0]
    (gradient,) = torch.autograd.grad(as_upstream.sum(), logits)
    assert not gradient.any()


def test_fault_upstream_positives_are_counted_twice_when_negatives_run_out() -> None:
    logits = torch.zeros(1, 2, 5)
    labels = torch.tensor(
        [[1, 1, 1, 0, 0]]
    )  # upstream wants 9 "negatives"; 3 of them are positives

    (loss,) = HardMiningCrossEntropyLoss(3)(logits, labels)

    assert float(loss) == pytest.approx(5 * math.log(2))


@pytest.mark.parametrize("share_large", [0.0, 0.3])
def test_background_loss_is_stable_for_any_logit(share_large: float) -> None:
    logits, _ = random_batch(3, 5, 70_000, 0.0)  # more than one piece
    large = torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) < share_large
    logits = torch.where(large, 3e4 * logits, logits)

    loss = background_loss(logits)

    torch.testing.assert_close(loss, -logits.log_softmax(dim=1)[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_a_float_loss(dtype: torch.dtype) -> None:
    logits, labels = random_batch(2, 3, 40, 0.1)

    loss = HardMiningCrossEntropyLoss(3)(logits.to(dtype), labels)

    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, HardMiningCrossEntropyLoss(3)(logits.to(dtype).float(), labels)
    )


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="neg_pos_ratio"):
        HardMiningCrossEntropyLoss(0)
    with pytest.raises(ValueError, match="min_negatives"):
        HardMiningCrossEntropyLoss(3, -1)
    loss, (logits, labels) = HardMiningCrossEntropyLoss(3), random_batch(2, 3, 5, 0.5)
    with pytest.raises(ValueError, match=r"logits \[B, C, A\]"):
        loss(logits, labels[:, :4])
    with pytest.raises(ValueError, match=r"logits \[B, C, A\]"):
        loss(logits[0], labels[0])
    logits[1, 2, 3] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        loss(logits, labels)
