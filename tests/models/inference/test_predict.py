"""Scores equal torchvision's for any batch, and the highest is exact to the last bit."""

import math
import re

import pytest
import torch
import torchvision
from torch import Tensor

from models.detectors import Detector, PreparedImage, build
from models.detectors.detections import Detections
from models.inference.device import select_device
from models.inference.predict import Prediction, predict
from tests.models.conftest import build_small, draw_images, propose_few

UNSCALED_SIZES = [(128, 192), (128, 128), (150, 128)]
SIZES = [(100, 150), (171, 90), (64, 64), (100, 150), (300, 411)]


def _predict(detector: Detector, images: list[Tensor]) -> list[Prediction]:
    return predict(detector, [detector.preprocess(image) for image in images])


def _silence_column_zero(detector: Detector) -> None:
    """Drop label 0, which is no class, but which torchvision detects with a sigmoid head."""
    if detector.spec.architecture.startswith(("retinanet", "fcos")):
        num_columns = len(detector.spec.class_names) + 1
        for name, parameter in detector.network.named_parameters():
            if re.fullmatch(detector.class_layers, name):
                parameter.data[::num_columns] = -40 if parameter.ndim == 1 else 0


def _plain_torchvision(detector: Detector) -> torch.nn.Module:
    spec = detector.spec
    if spec.architecture in ("ssd_efficientnet_lite0", "ssd_small"):
        return detector.network  # torchvision's SSD over our own backbone
    sizes = {} if spec.architecture.startswith("ssd") else {"min_size": 128, "max_size": 192}
    network: torch.nn.Module = torchvision.models.get_model(
        spec.architecture, weights=None, weights_backbone=None, num_classes=3, **sizes
    )
    propose_few(network)
    network.load_state_dict(detector.network.state_dict())
    return network.eval().to(memory_format=torch.channels_last)  # other kernels round otherwise


def test_detections_equal_those_of_torchvision(detector: Detector) -> None:
    _silence_column_zero(detector)
    network = _plain_torchvision(detector)
    sizes = SIZES
    if detector.spec.antialias:
        sizes = [detector.spec.input_size]
    elif detector.spec.architecture.startswith("fasterrcnn"):
        sizes = UNSCALED_SIZES  # two stages amplify a resize's rounding

    for image in draw_images(sizes):
        [prediction] = _predict(detector, [image])

        with torch.no_grad():
            [expected] = network([image / 255])
        found = prediction.detections
        assert len(found) > 5
        assert found.scores.max() - found.scores.min() > 0.005
        _assert_same(found, Detections(**expected))
        assert prediction.max_score == pytest.approx(found.scores[0].item(), abs=1e-5)


def test_network_inputs_equal_those_of_torchvision(detector: Detector) -> None:
    if detector.spec.antialias:
        pytest.skip("resized in a way of its own")
    network = _plain_torchvision(detector)
    assert isinstance(network.transform, torch.nn.Module)

    for image in draw_images(SIZES):
        batch = detector.collate([detector.preprocess(image)])

        expected, _ = network.transform([image / 255])
        torch.testing.assert_close(batch.tensors, expected.tensors, atol=2e-4, rtol=1e-5)
        assert batch.image_sizes == expected.image_sizes


def test_a_score_does_not_depend_on_the_other_images(detector: Detector) -> None:
    images = draw_images(SIZES)

    together = _predict(detector, images)

    for image, prediction in zip(images, together, strict=True):
        [alone] = _predict(detector, [image])
        assert prediction.log_odds == pytest.approx(alone.log_odds, abs=1e-4)
        _assert_same(prediction.detections, alone.detections)


def _assert_same(found: Detections, expected: Detections) -> None:
    """
    Check that each detection has a counterpart in the other list, above all the best one.

    One in thirty may have none: rounding can move an overlap over the NMS threshold, or a near tie
    past the end of the list.
    """
    distance = (found.boxes[:, None] - expected.boxes).abs().amax(-1)
    distance += 1e6 * (found.labels[:, None] != expected.labels)
    distance += 1e6 * ((found.scores[:, None] - expected.scores).abs() > 1e-4)
    assert distance[0, 0] < 0.05
    for nearest in (distance.amin(0), distance.amin(1)):
        assert (nearest >= 0.05).sum() <= len(nearest) / 30


def test_bfloat16_gives_float32_scores_and_boxes(detector: Detector) -> None:
    images = [detector.preprocess(image) for image in draw_images([(128, 128)] * 2)]

    exact = predict(detector, images)
    quick = predict(detector, images, in_bfloat16=True)

    for one, other in zip(quick, exact, strict=True):
        assert one.log_odds is not None
        assert math.isfinite(
            one.log_odds
        )  # its error is measured by `try_bfloat16` with trained detectors
        assert one.log_odds != other.log_odds
        assert len(one.detections) > 0
        assert one.detections.boxes.dtype == one.detections.scores.dtype == torch.float32


def test_images_without_detections_have_a_score(family: str) -> None:
    torch.manual_seed(0)
    size = None if family.startswith("ssd") else (128, 192)
    detector = build(family, ["cat"], input_size=size, score_threshold=0.999).eval()
    propose_few(detector.network)
    for name, parameter in detector.network.named_parameters():
        if re.fullmatch(detector.class_layers, name):
            parameter.data.zero_()

    [prediction] = _predict(detector, draw_images([(90, 120)]))

    assert len(prediction.detections) == 0
    assert prediction.log_odds is not None
    assert prediction.max_score is not None
    assert prediction.max_score == pytest.approx(1 / (1 + math.exp(-prediction.log_odds)))
    assert 0 < prediction.max_score < 0.9


def test_nan_pixels_affect_the_score_of_their_image_only(family: str) -> None:
    detector = build_small(family).eval()
    good = detector.preprocess(draw_images([(128, 128)])[0])
    bad = PreparedImage(
        torch.full_like(good.pixels.float(), math.nan), good.original_size, good.placement
    )

    first, second = predict(detector, [bad, good])

    assert first.log_odds is not None
    assert second.log_odds is not None
    assert math.isnan(first.log_odds)
    assert first.max_score is not None
    assert math.isnan(first.max_score)
    assert len(first.detections) == 0
    assert math.isfinite(second.log_odds)


def test_sure_detections_keep_their_order() -> None:
    detector = build("ssd_small", ["cat"]).eval()
    head = detector.network.get_submodule("head.classification_head.module_list.0.1")
    assert isinstance(head.bias, torch.nn.Parameter)
    image = detector.preprocess(draw_images([(160, 160)])[0])

    ranked = []
    for logit in (30.0, 40.0):
        head.bias.data[1] = logit
        ranked += predict(detector, [image])

    assert ranked[0].max_score == pytest.approx(ranked[1].max_score, abs=1e-9)
    assert ranked[1].log_odds - ranked[0].log_odds == pytest.approx(10, abs=0.1)  # type: ignore[operator]  # an SSD always has one


def test_training_mode_is_refused() -> None:
    detector = build("ssd_small", ["cat"])

    with pytest.raises(ValueError, match="eval"):
        predict(detector, [])


def test_no_images_give_no_predictions() -> None:
    assert predict(build("ssd_small", ["cat"]).eval(), []) == []


def test_device_by_name() -> None:
    assert select_device("cpu") == torch.device("cpu")
    assert select_device(None).type in ("cuda", "mps", "cpu")
    with pytest.raises(ValueError, match="'abacus' cannot be used"):
        select_device("abacus")
