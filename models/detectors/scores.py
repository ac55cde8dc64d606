"""Log-odds of foreground probabilities, straight from logits."""

import math

import torch
from torch import Tensor
from torch.nn import functional

BOUND_MARGIN = 1e-3  # far above float32's rounding of logits, far below what matters


def softmax_log_odds(logits: Tensor) -> Tensor:
    """
    Return the log-odds of each anchor's foreground probability under a softmax over classes.

    The log-odds of class k are l_k - logsumexp(l_j, j != k). They grow with l_k, so the best
    object class is the one with the highest logit. Probabilities crowd at 1, log-odds do not: two
    sure detections keep their order.

    Args:
        logits: float [..., 1 + K], background first.

    Returns:
        float64 [...], NaN for anchors with a NaN logit.
    """
    logits = _double(logits)
    best, index = logits[..., 1:].max(dim=-1)
    others = logits.scatter(-1, index.unsqueeze(-1) + 1, -torch.inf)
    return best - others.logsumexp(dim=-1)


def highest_softmax_log_odds(logits: Tensor) -> tuple[list[float], Tensor]:
    """
    Find the highest of each image's `softmax_log_odds`, to the last bit, without computing all.

    The log-odds of class k cannot exceed l_k - l_background. This bound takes one pass over the
    logits. The exact value is computed only for the few anchors whose bound reaches the exact
    value of the anchor with the highest bound.

    Args:
        logits: float32 [B, A, 1 + K], background first.

    Returns:
        One number per image, NaN if one of its logits is; and the bound of every anchor, [B, A].
    """
    bound = logits[..., 1:].amax(-1) - logits[..., 0]
    first = bound.argmax(dim=1, keepdim=True)
    highest = softmax_log_odds(logits.take_along_dim(first.unsqueeze(-1), dim=1)).squeeze(1)
    image, anchor = (bound >= highest.to(bound)[:, None] - BOUND_MARGIN).nonzero(as_tuple=True)
    exact = softmax_log_odds(logits[image, anchor])
    highest = highest.scatter_reduce(0, image.to(highest.device), exact, "amax")
    return highest.tolist(), bound


def sigmoid_product_log_odds(class_logits: Tensor, centerness_logits: Tensor) -> Tensor:
    """
    Return the log-odds of p = sqrt(sigmoid(class) * sigmoid(centerness)), FCOS's score.

    Both are float tensors of one shape; the result is float64 of that shape.
    """
    log_p = 0.5 * (
        functional.logsigmoid(_double(class_logits))
        + functional.logsigmoid(_double(centerness_logits))
    )
    return log_p - torch.log(-torch.expm1(log_p))


def _double(values: Tensor) -> Tensor:
    """Convert to float64; on the CPU if the device is MPS, which has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def log_odds_floor(score_threshold: float) -> float:
    """
    Return log-odds that every float32 probability above the threshold exceeds.

    A margin of 1e-3 covers float32's rounding.
    """
    if score_threshold <= 0:
        return -math.inf
    if score_threshold >= 1:
        return math.inf
    return math.log(score_threshold / (1 - score_threshold)) - BOUND_MARGIN
