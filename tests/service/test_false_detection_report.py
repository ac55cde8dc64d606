"""The report's counts, compared with the evaluation that versions are measured by."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sqlalchemy.orm import Session

from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.db import open_engine, open_sessions
from service.evaluation.measure import evaluation_of, false_detections_of, images_scored_by
from service.scoring import store as score_store
from service.scoring.results import ScoreResult, ScoringFailure
from service.stats import service
from service.tables import Activation, Image, LabelledBox, ModelVersion

NUM_IMAGES = 40


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """Save a serving version and images of all splits; some failed, some have a verdict."""
    engine = open_engine(database_url)
    with open_sessions(engine).begin() as session:
        version = ModelVersion(
            name="v1",
            architecture="ssd_small",
            class_names=["red", "blue"],
            spec={"score_threshold": 0.05},
            checkpoint_sha256="v1",
            checkpoint_key="none",
            checkpoint_size_bytes=1,
        )
        session.add_all([version, *(_image(number) for number in range(NUM_IMAGES))])
        session.flush()
        session.add(Activation(model_version_id=version.id))
        session.add(LabelledBox(image_id=2, position=0, class_name="red", x1=1, y1=2, x2=11, y2=12))
        score_store.save_scores(
            session, version.id, {n: _result(n) for n in range(1, NUM_IMAGES + 1)}
        )
        yield session
    engine.dispose()


def _image(number: int) -> Image:
    return Image(
        sha256=str(number),
        blob_key="none",
        split=("negative-test", "val", "pool", "negative-test")[number % 4],
        source="",
        file_name="a.png",
        media_type="image/png",
        size_bytes=1,
        width=40,
        height=40,
        verdict={4: "contains-object", 8: "negative"}.get(number),
    )


def _result(image_id: int) -> ScoreResult:
    if image_id % 9 == 0:
        return ScoringFailure("damaged")
    count = image_id % 4
    boxes = torch.tensor([[1.0, 2.0, 11.0, 12.0]]).expand(count, 4)
    scores = torch.tensor([0.9, 0.5, 0.1])[:count]
    found = Detections(boxes, scores, torch.tensor([1, 2, 2])[:count])
    return Prediction(0.9, 2.2, found)


def test_counted_false_detections_equal_those_of_the_evaluation(session: Session) -> None:
    version = session.get_one(ModelVersion, 1)
    images = images_scored_by(session, [1])

    found = false_detections_of(session, version, images)

    expected = evaluation_of(session, version, images).false_detections
    assert found.num_images == expected.num_images == len(images.negative_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.images, expected.images)


def test_report_counts_every_detection_above_the_threshold(session: Session) -> None:
    report = service.report_false_detections(session, None, 0.5)

    sealed = [n + 1 for n in range(NUM_IMAGES) if n % 4 in (0, 3) and n != 4 and (n + 1) % 9]
    kept = [min(image_id % 4, 2) for image_id in sealed]
    assert report.num_images == len(sealed)
    assert report.num_unscored == NUM_IMAGES // 2 - len(sealed)
    assert report.false_detections.value == pytest.approx(sum(kept))
    assert report.share_of_images.value == pytest.approx(np.mean([n > 0 for n in kept]))
    assert [item.fppi.value for item in report.by_class] == pytest.approx(
        [np.mean([n >= 1 for n in kept]), np.mean([n >= 2 for n in kept])]
    )
    assert sum(item.num_images for item in report.histogram) == len(sealed)
    assert report.froc[-1].recall == 1
