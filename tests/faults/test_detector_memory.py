"""Detectors and trainings that would fill the memory are refused before they run."""

from dataclasses import replace

import pytest

from models.detectors import DetectorSpec, build, training_bytes
from models.inference.footprint import fitting_batch_size, num_outputs, require_moderate
from service.app import create_app
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.service.clients import local_client
from tests.service.pictures import picture
from tests.service.test_labelled_images import coco, upload


def spec_of(architecture: str, **changes: object) -> DetectorSpec:
    return replace(build(architecture, ["red"]).spec, **changes)  # type: ignore[arg-type]


CLASSES = tuple(str(number) for number in range(1000))


def test_usual_detectors_are_moderate() -> None:
    for architecture in ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn_v2"):
        require_moderate(spec_of(architecture, class_names=CLASSES[:90]))


@pytest.mark.parametrize(("threshold", "num_classes"), [(0.5, 1000), (0.0, 200)])
def test_many_anchors_and_classes_are_refused(threshold: float, num_classes: int) -> None:
    spec = spec_of(
        "ssdlite320_mobilenet_v3_large",
        input_size=(2048, 2048),
        class_names=CLASSES[:num_classes],
        score_threshold=threshold,
    )

    with pytest.raises(ValueError, match="numbers for one image"):
        require_moderate(spec)


def test_large_images_come_in_small_batches() -> None:
    small = spec_of("ssd_small")

    assert fitting_batch_size(small, 8) == 8
    assert fitting_batch_size(replace(small, input_size=(2048, 2048)), 8) == 2
    assert num_outputs(replace(small, input_size=(320, 320))) == 4 * num_outputs(small)


@on_sqlite_only
def test_batch_that_does_not_fit_is_422_with_the_largest_that_does(settings: Settings) -> None:
    largest = 20
    memory = largest * training_bytes("ssd_small") + 1
    sizes = {"input_size": [320, 320], "batch_size": largest}  # four times the pixels
    limited = settings.model_copy(update={"training_memory_bytes": memory})
    with local_client(create_app(limited)) as client:
        upload(client, coco(["a.png"], [(0, (1, 2, 30, 40))]), {"a.png": picture(1)})

        answers = [
            client.post("/retrain", json={"architecture": "ssd_small", "batch_size": size})
            for size in (largest, largest + 1)
        ]
        enlarged = client.post("/retrain", json={"architecture": "ssd_small", **sizes})
        del sizes["batch_size"]
        lowered = client.post("/retrain/preview", json={"architecture": "ssd_small", **sizes})

    assert [answer.status_code for answer in answers] == [202, 422]
    assert f"the largest that fits is {largest}" in answers[1].json()["detail"]
    assert f"the largest that fits is {largest // 4}" in enlarged.json()["detail"]
    assert lowered.json()["batch_size"] == largest // 4
