"""A detector with NaN scores or boxes is refused before it serves."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from models.inference import proof
from models.inference.fused import fuse
from models.inference.predict import predict
from models.inference.proof import prove
from tests.models.conftest import build_small, draw_images


def overflow(part: nn.Module) -> None:
    """Fill a network, or a part, with the largest finite weights of both signs."""
    generator = torch.Generator().manual_seed(1)
    for parameter in part.parameters():
        parameter.data = 3e38 * torch.sign(torch.randn(parameter.shape, generator=generator))


def test_a_sound_detector_passes(family: str) -> None:
    detector = build_small(family).eval()
    weights = {name: tensor.clone() for name, tensor in detector.network.state_dict().items()}
    state = torch.get_rng_state()

    prove(detector)

    assert all(torch.equal(t, weights[n]) for n, t in detector.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_finite_weights_that_overflow_are_refused(family: str) -> None:
    detector = build_small(family).eval()
    overflow(detector.network)

    with pytest.raises(ValueError, match="not finite"):
        prove(detector)


def test_fused_activations_hide_nan() -> None:
    """Show why `prove` scores both ways: ReLU of NaN is 0 in oneDNN and NaN in torch."""
    detector = build_small("ssd_small").eval()
    overflow(detector.network)
    image = detector.preprocess(draw_images([(160, 160)])[0])

    [plain], [fused] = predict(detector, [image]), predict(fuse(detector), [image])

    assert plain.log_odds is not None
    assert math.isnan(plain.log_odds)
    assert fused.log_odds is not None
    assert math.isfinite(fused.log_odds)


def test_boxes_that_are_not_finite_are_refused_whatever_their_score() -> None:
    detector = build_small("ssd_small").eval()
    for module in detector.network.get_submodule("head.regression_head").modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var = torch.full_like(module.bias, -1)
    detector.spec = replace(detector.spec, score_threshold=0.999)

    with pytest.raises(ValueError, match="detections in a grey image"):
        prove(detector)


def test_fusing_that_changes_scores_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = build_small("ssd_small").eval()
    other = copy.deepcopy(detector)
    head = other.network.get_submodule("head.classification_head.module_list.0.1")
    assert isinstance(head.bias, nn.Parameter)
    head.bias.data[1] = 9
    monkeypatch.setattr(proof, "fuse", lambda _: fuse(other))

    with pytest.raises(ValueError, match="folded into the convolutions"):
        prove(detector)
