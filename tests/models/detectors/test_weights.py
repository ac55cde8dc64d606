"""Weights by name: an ImageNet backbone from a package, and torchvision's from torch's cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models import ResNet50_Weights, VGG16_Weights, WeightsEnum, get_model_weights
from torchvision.transforms.v2 import functional as transforms

from models.detectors import WeightsUnavailableError, build
from models.detectors.backbones import EfficientNetLite0, lite0_imagenet_weights

ESPRESSO = 967
CATS = {281, 282, 285}  # tabby, tiger, Egyptian


@pytest.fixture
def torch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up an empty download cache without access to the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def _store(folder: Path, weights: WeightsEnum, state: dict[str, Tensor]) -> None:
    torch.save(state, folder / Path(weights.url).name)


def _imagenet_input(image: np.ndarray) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    side = min(pixels.shape[1:])
    pixels = transforms.resize(transforms.center_crop(pixels, [side, side]), [224, 224])
    batch: Tensor = (pixels.unsqueeze(0).float() - 127) / 128
    return batch


def test_efficientnet_lite0_classifies_photographs() -> None:
    data = pytest.importorskip("skimage.data")
    network = EfficientNetLite0().eval()
    network.load_state_dict(lite0_imagenet_weights())  # strict

    with torch.no_grad():
        cup = network(_imagenet_input(data.coffee())).argmax().item()
        cat = network(_imagenet_input(data.chelsea())).argmax().item()

    assert cup == ESPRESSO
    assert cat in CATS


def test_the_imagenet_backbone_is_loaded_and_keeps_its_statistics() -> None:
    detector = build("ssd_efficientnet_lite0", ["cat"], weights="imagenet").train()
    before = {name: tensor.clone() for name, tensor in detector.network.state_dict().items()}

    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    detector([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)], [empty, empty])

    after = detector.network.state_dict()
    expected = lite0_imagenet_weights()
    backbone = {n.removeprefix("backbone.trunk."): t for n, t in after.items() if ".trunk." in n}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in backbone.items())
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert not any(".trunk." in name for name in changed)


def test_statistics_are_learnt_from_scratch() -> None:
    detector = build("ssd_small", ["cat"]).train()
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}

    detector([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)], [empty, empty])

    name = "backbone.trunk.stem.0.1.num_batches_tracked"
    assert detector.network.state_dict()[name] == 1


def test_the_same_seed_builds_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build("ssd_small", ["cat"]).state_dict())

    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    "architecture",
    [
        "ssdlite320_mobilenet_v3_large",
        pytest.param("ssd300_vgg16", marks=pytest.mark.slow),
        pytest.param("retinanet_resnet50_fpn_v2", marks=pytest.mark.slow),
        pytest.param("fcos_resnet50_fpn", marks=pytest.mark.slow),
        pytest.param("fasterrcnn_resnet50_fpn_v2", marks=pytest.mark.slow),
        "fasterrcnn_mobilenet_v3_large_320_fpn",
    ],
)
def test_coco_weights_keep_the_head_for_their_own_classes_only(
    architecture: str, torch_cache: Path
) -> None:
    weights = get_model_weights(architecture)["COCO_V1"]
    torch.manual_seed(1)
    source = torchvision.models.get_model(architecture, weights=None, weights_backbone=None)
    state = source.state_dict()
    frozen = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    _store(torch_cache, weights, frozen)

    whole = build(architecture, weights="COCO_V1")
    other = build(architecture, [f"class {i}" for i in range(90)], weights="default")

    assert whole.spec.class_names[:3] == ("person", "bicycle", "car")
    assert whole.spec.class_names[11] == "N/A 12"
    assert whole.spec.freeze_batch_norm
    whole_state, other_state = whole.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(whole_state[name], tensor) for name, tensor in frozen.items())
    new = {n for n, t in frozen.items() if n.endswith("weight") and (t != other_state[n]).any()}
    assert new
    assert all(source.get_parameter(name).shape[0] % 91 == 0 for name in new - _box_layers(new))


def _box_layers(names: set[str]) -> set[str]:
    """Return the layers of boxes per class; Faster R-CNN has one, with 4 x 91 outputs."""
    return {name for name in names if name == "roi_heads.box_predictor.bbox_pred.weight"}


@pytest.mark.slow
def test_vgg16_fills_the_backbone_of_ssd300(torch_cache: Path) -> None:
    source = torchvision.models.vgg16(weights=None).features.state_dict()
    _store(
        torch_cache,
        VGG16_Weights.IMAGENET1K_FEATURES,
        {f"features.{name}": tensor for name, tensor in source.items()},
    )

    network = build("ssd300_vgg16", ["cat"], weights="imagenet").network

    assert torch.equal(network.state_dict()["backbone.features.0.weight"], source["0.weight"])
    assert torch.equal(network.state_dict()["backbone.extra.0.5.bias"], source["28.bias"])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["retinanet_resnet50_fpn_v2", "fcos_resnet50_fpn"])
def test_resnet50_fills_the_backbone_of_a_pyramid(architecture: str, torch_cache: Path) -> None:
    source = torchvision.models.resnet50(weights=None).state_dict()
    _store(torch_cache, ResNet50_Weights.IMAGENET1K_V1, source)

    network = build(architecture, ["cat"], weights="imagenet").network

    body = network.get_submodule("backbone.body").state_dict()
    assert all(torch.equal(tensor, source[name]) for name, tensor in body.items())


@pytest.mark.parametrize(
    ("architecture", "weights"),
    [
        ("ssdlite320_mobilenet_v3_large", "COCO_V1"),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", "imagenet"),
    ],
)
def test_weights_that_cannot_be_downloaded_raise_an_error_with_a_way_out(
    architecture: str, weights: str, torch_cache: Path
) -> None:
    with pytest.raises(WeightsUnavailableError, match="upload the safetensors file"):
        build(architecture, ["cat"], weights=weights)


@pytest.mark.parametrize(
    ("architecture", "weights", "reason"),
    [
        ("ssd_small", "imagenet", "there are no ImageNet weights for the backbone of ssd_small"),
        ("ssdlite320_mobilenet_v3_large", "imagenet", "there are no ImageNet weights"),
        ("ssd_small", "COCO_V1", "has no weights 'COCO_V1'"),
        ("ssdlite320_mobilenet_v3_large", "best", "has no weights 'best'"),
    ],
)
def test_weights_that_do_not_exist_are_refused(
    architecture: str, weights: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        build(architecture, ["cat"], weights=weights)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'yolo'; known: ssdlite320"):
        build("yolo", ["cat"])


def test_class_names_are_required_for_weights_without_any() -> None:
    with pytest.raises(ValueError, match="class_names can only be left out"):
        build("ssd_small")
