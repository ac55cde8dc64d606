"""Log-odds of foreground probabilities, straight from logits."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def softmax_log_odds(logits: Tensor) -> Tensor:
    """
    Log-odds of each anchor's foreground probability under a softmax over classes.

    The log-odds of class k are l_k - logsumexp(l_j, j != k). They grow with l_k, so the best
    object class is the one with the highest logit. Unlike the probability itself they do not
    crowd at 1: two sure detections keep their order.

    Args:
        logits: float [..., 1 + K], background first.

    Returns:
        float64 [...]; NaN where a logit is NaN.
    """
    logits = _double(logits)
    best, index = logits[..., 1:].max(dim=-1)
    others = logits.scatter(-1, index.unsqueeze(-1) + 1, -torch.inf)
    return best - others.logsumexp(dim=-1)


def sigmoid_product_log_odds(class_logits: Tensor, centerness_logits: Tensor) -> Tensor:
    """
    Log-odds of p = sqrt(sigmoid(class) * sigmoid(centerness)), the score of an FCOS location.

    Both are float tensors of one shape; the result is float64 of that shape.
    """
    log_p = 0.5 * (
        functional.logsigmoid(_double(class_logits))
        + functional.logsigmoid(_double(centerness_logits))
    )
    return log_p - torch.log(-torch.expm1(log_p))


def _double(values: Tensor) -> Tensor:
    """float64; on the CPU where the device (MPS) has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def can_exceed(log_odds: float, score_threshold: float) -> bool:
    """
    Whether a float32 probability with these log-odds may lie above the threshold.

    A margin of 1e-3 covers the rounding of float32, so False means: surely not. False for NaN.
    """
    if score_threshold <= 0:
        return not math.isnan(log_odds)
    if score_threshold >= 1:
        return False
    return log_odds > math.log(score_threshold / (1 - score_threshold)) - 1e-3
