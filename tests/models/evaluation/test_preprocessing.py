from dataclasses import replace

import pytest
import torch

from models.data.ground_truth import GroundTruth
from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.runtime import OnnxRuntimeNetwork
from models.detectors.foreign.spec import ChannelOrder, ForeignSpec, Layout, Resize
from models.evaluation.preprocessing import MIN_IMAGES, find_better_preprocessing
from tests.elsewhere import export, labelled_examples, train
from tests.scenes import RED, SIDE, encoded, scene

RIGHT = ForeignSpec(Layout.YOLO, ("red",), (SIDE, SIDE), resize=Resize.STRETCH)
WRONG = {
    "colours": {"channel_order": ChannelOrder.BGR},
    "range": {"image_std": (1.0, 1.0, 1.0)},
    "colours and range": {"channel_order": ChannelOrder.BGR, "image_std": (1.0, 1.0, 1.0)},
    "mean": {"image_mean": (123.675, 116.28, 103.53), "image_std": (58.395, 57.12, 57.375)},
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> ForeignDetector:
    path = tmp_path_factory.mktemp("onnx") / "squares.onnx"
    export(train(labelled_examples(range(40))), path)
    return ForeignDetector(RIGHT, OnnxRuntimeNetwork(path))


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    return [encoded(scene(seed, RED)[0]) for seed in range(100, 124)]


@pytest.fixture(scope="module")
def truths() -> list[GroundTruth]:
    boxes = [scene(seed, RED)[1] for seed in range(100, 124)]
    return [GroundTruth(torch.tensor([box]).float(), torch.tensor([1])) for box in boxes]


def test_right_preprocessing_is_not_doubted(
    detector: ForeignDetector, images: list[bytes], truths: list[GroundTruth]
) -> None:
    assert find_better_preprocessing(detector, images, truths) is None


@pytest.mark.parametrize("wrong", WRONG)
def test_right_values_are_found_again(
    detector: ForeignDetector, images: list[bytes], truths: list[GroundTruth], wrong: str
) -> None:
    changed = replace(RIGHT, **WRONG[wrong])  # type: ignore[arg-type]  # of many types

    found = find_better_preprocessing(detector.with_spec(changed), images, truths)

    assert found is not None
    assert found.spec == RIGHT
    assert found.ap50_95_with_spec > found.ap50_95 + 0.2
    assert found.num_images == len(images)


def test_few_images_decide_nothing(
    detector: ForeignDetector, images: list[bytes], truths: list[GroundTruth]
) -> None:
    wrong = detector.with_spec(replace(RIGHT, image_std=(1.0, 1.0, 1.0)))
    few = MIN_IMAGES - 1

    assert find_better_preprocessing(wrong, images[:few], truths[:few]) is None


def test_resize_of_the_trainer_is_found_again(detector: ForeignDetector) -> None:
    """Stretched to a square, images twice as wide as high show squares that are twice as high."""
    height = SIDE // 2
    scenes = [scene(seed, RED) for seed in range(100, 220)]
    shown = [(pixels[:height], box) for pixels, box in scenes if box and box[3] <= height]
    truths = [
        GroundTruth(torch.tensor([box]).float(), torch.ones(1, dtype=torch.int64))
        for _, box in shown
    ]

    found = find_better_preprocessing(detector, [encoded(pixels) for pixels, _ in shown], truths)

    assert found is not None
    assert found.spec.resize is not Resize.STRETCH
    assert replace(found.spec, resize=Resize.STRETCH) == RIGHT
