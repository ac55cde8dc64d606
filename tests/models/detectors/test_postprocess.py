"""Our short post-processing gives the results of torchvision's long one."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.detectors import Detector, ScoredImage, build
from models.detectors.backbones import SamePadConv2d
from models.detectors.detections import Detections
from models.detectors.postprocess import highest_of_each
from models.detectors.scores import (
    highest_softmax_log_odds,
    sigmoid_product_log_odds,
    softmax_log_odds,
)
from models.inference.fused import fuse
from models.inference.packed import pack_convolutions
from models.inference.predict import predict
from tests.models.conftest import draw_images, spread_scores


def _plain_score(detector: Detector, images: list[Tensor]) -> list[ScoredImage]:
    """Score every anchor, decode every box, and post-process as torchvision does."""
    batch = detector.collate([detector.preprocess(image) for image in images])
    network = detector.network
    features = list(network.backbone(batch.tensors).values())  # type: ignore[operator]  # untyped
    outputs = network.head(features)  # type: ignore[operator]
    anchors = network.anchor_generator(batch, features)  # type: ignore[operator]
    logits = outputs["cls_logits"]
    if detector.spec.architecture.startswith("ssd"):
        log_odds = softmax_log_odds(logits)
    else:
        logits[..., 0] = -torch.inf
        log_odds = logits.amax(-1)
        if "bbox_ctrness" in outputs:
            log_odds = sigmoid_product_log_odds(log_odds, outputs["bbox_ctrness"].squeeze(-1))
        cells = [level.shape[-2] * level.shape[-1] for level in features]
        sizes = [count * (logits.shape[1] // sum(cells)) for count in cells]
        outputs = {name: list(out.split(sizes, dim=1)) for name, out in outputs.items()}
        anchors = [list(image_anchors.split(sizes)) for image_anchors in anchors]
    found = network.postprocess_detections(outputs, anchors, batch.image_sizes)  # type: ignore[operator]
    return [
        ScoredImage(best, Detections(**result))
        for best, result in zip(log_odds.amax(-1).tolist(), found, strict=True)
    ]


@torch.no_grad()
def _by_class(found: Detections) -> Detections:
    """Order detections by class: those of two classes may tie but for rounding."""
    order = found.labels.argsort(stable=True)
    return Detections(found.boxes[order], found.scores[order], found.labels[order])


def _require_same(detector: Detector, images: list[Tensor]) -> None:
    batch = detector.collate([detector.preprocess(image) for image in images])
    for scored, plain in zip(detector.score(batch), _plain_score(detector, images), strict=True):
        assert scored.log_odds == pytest.approx(plain.log_odds, abs=1e-6)
        found, expected = _by_class(scored.detections), _by_class(plain.detections)
        assert len(found) == len(expected) > 0
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-6, rtol=0)
        torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=0)
        assert torch.equal(found.labels, expected.labels)


@pytest.mark.parametrize("topk", [None, 7], ids=["all", "few"])
def test_decoding_only_passing_anchors_changes_nothing(
    detector: Detector, topk: int | None
) -> None:
    if detector.spec.architecture.startswith("fasterrcnn"):
        pytest.skip("its boxes are torchvision's own work already")
    detector = copy.deepcopy(detector)
    if topk is not None:
        detector.network.topk_candidates = topk  # type: ignore[assignment]  # torchvision's

    _require_same(detector, draw_images([(128, 128)] * 3))


def test_decoding_only_passing_anchors_changes_nothing_with_many_classes() -> None:
    torch.manual_seed(0)
    names = [f"class {i}" for i in range(90)]
    detector = build("ssd_small", names, score_threshold=0.001).eval()
    for layer in detector.network.head.classification_head.module_list:  # type: ignore[union-attr]
        nn.init.normal_(layer[1].weight, std=0.5)

    _require_same(detector, draw_images([(160, 160)] * 4))


def test_images_below_the_threshold_keep_their_score() -> None:
    torch.manual_seed(0)
    detector = build("ssd_small", ["cat"], score_threshold=0.5)
    spread_scores(detector)
    images = draw_images([(160, 160)] * 6)
    prepared = [detector.preprocess(image) for image in images]
    log_odds = sorted(p.log_odds or math.nan for p in predict(detector, prepared))
    with torch.no_grad():
        for head in detector.network.head.classification_head.module_list:  # type: ignore[union-attr]
            head[1].bias[::2] += (log_odds[2] + log_odds[3]) / 2  # half of them pass

    predictions = predict(detector, prepared)

    passed = [len(prediction.detections) > 0 for prediction in predictions]
    assert 0 < sum(passed) < len(passed)
    for prediction, has_boxes in zip(predictions, passed, strict=True):
        assert ((prediction.max_score or 0) > 0.5) is has_boxes


def test_a_higher_min_score_only_leaves_out_detections(detector: Detector) -> None:
    images = [detector.preprocess(image) for image in draw_images([(128, 160)] * 2)]
    every = predict(detector, images)
    scores = sorted({score for p in every for score in p.detections.scores.tolist()})
    least = sum(scores[len(scores) // 2 :][:2]) / 2  # between two scores

    few = predict(detector, images, min_score=least)

    assert 0 < sum(len(p.detections) for p in few) < sum(len(p.detections) for p in every)
    for full, short in zip(every, few, strict=True):
        assert short.log_odds == full.log_odds
        kept = full.detections.scores > least
        for name in ("scores", "labels", "boxes"):  # sorted, since equal scores have no order
            found, expected = getattr(short.detections, name), getattr(full.detections, name)[kept]
            torch.testing.assert_close(found.sort(0).values, expected.sort(0).values)


def test_folding_batch_norm_keeps_the_outputs(detector: Detector) -> None:
    plain = copy.deepcopy(detector).double()  # untrained layers amplify float32's rounding to 1e-3
    fused = fuse(plain)
    images = [plain.preprocess(image) for image in draw_images([(128, 160)] * 2)]
    pixels = plain.collate(images).tensors.double()

    with torch.no_grad():
        expected, found = _outputs(plain.network, pixels), _outputs(fused.network, pixels)

    torch.testing.assert_close(found, expected)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())


def test_packed_convolutions_give_the_same_scores(detector: Detector) -> None:
    images = [detector.preprocess(image) for image in draw_images([(128, 160)] * 2)]
    fused = fuse(detector)
    convolutions = [m for m in fused.network.modules() if isinstance(m, nn.Conv2d)]

    for plain, packed in zip(predict(detector, images), predict(fused, images), strict=True):
        # scores spread by 1 and more; untrained layers amplify float32's rounding to about 1e-3
        assert packed.log_odds == pytest.approx(plain.log_odds, abs=1e-2)
    assert convolutions == []


def test_padding_dilation_groups_and_activations_survive_packing() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        SamePadConv2d(3, 8, 3, stride=2),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False),
        nn.Hardswish(),
        nn.Conv2d(8, 16, 1),
        nn.ReLU(),
        nn.Conv2d(16, 4, 5, stride=2, padding=1),
        nn.Sigmoid(),
    ).requires_grad_(False)
    images = torch.randn(2, 3, 41, 29)
    for scale in (1, 30):  # some values beyond what ReLU6 lets through
        packed = copy.deepcopy(plain)
        pack_convolutions(packed)

        torch.testing.assert_close(packed(scale * images), plain(scale * images))
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            with torch.autocast("cpu", torch.bfloat16):
                torch.testing.assert_close(packed(scale * images), plain(scale * images))
        torch.testing.assert_close(copy.deepcopy(packed)(scale * images), plain(scale * images))
        assert [type(m).__name__ for m in packed] == ["PackedConv2d", "Identity"] * 3 + [
            "PackedConv2d",
            "Sigmoid",
        ]


def _outputs(network: Any, pixels: Tensor) -> list[Tensor]:
    """Return outputs that, over all families, depend on every layer with weights."""
    features = list(network.backbone(pixels).values())
    if not hasattr(network, "roi_heads"):
        return [*network.head(features).values()]
    pooled = nn.functional.interpolate(features[0], (7, 7))
    return [*network.rpn.head(features)[0], network.roi_heads.box_head(pooled)]


def test_highest_log_odds_are_exact_if_the_bound_misleads() -> None:
    # the first anchor has the highest bound, the second the highest log-odds: 9 and 8.1 against 8
    logits = torch.tensor([[[0.0, 9.0, 8.9], [0.0, 8.1, -20.0], [0.0, 1.0, 1.0]]])

    highest, bound = highest_softmax_log_odds(logits)

    assert highest == softmax_log_odds(logits).amax(-1).tolist()
    assert bound[0].argmax() == 0
    assert softmax_log_odds(logits)[0].argmax() == 1


def test_highest_log_odds_of_random_logits_are_those_of_all_anchors() -> None:
    generator = torch.Generator().manual_seed(5)
    for scale in (0.1, 1.0, 10.0, 50.0):
        logits = torch.randn((8, 300, 21), generator=generator) * scale

        highest, bound = highest_softmax_log_odds(logits)

        every = softmax_log_odds(logits)
        assert highest == every.amax(-1).tolist()
        assert (bound >= every - 1e-4).all()


def test_a_nan_logit_affects_its_image_only() -> None:
    logits = torch.zeros((2, 4, 3))
    logits[0, 3, 2] = torch.nan

    highest, _ = highest_softmax_log_odds(logits)

    assert math.isnan(highest[0])
    assert highest[1] == pytest.approx(-math.log(2))


def test_the_highest_of_each_group_are_kept() -> None:
    scores = torch.tensor([0.1, 0.9, 0.5, 0.7, 0.3])
    groups = torch.tensor([0, 2, 0, 0, 2])

    kept = highest_of_each(scores, groups, limit=2)

    assert sorted(kept.tolist()) == [1, 2, 3, 4]
    assert highest_of_each(scores, groups, limit=3).tolist() == [0, 1, 2, 3, 4]
    assert highest_of_each(scores[:0], groups[:0], limit=3).tolist() == []
