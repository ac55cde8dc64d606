"""The inputs of a training: its detector, its data sets and its configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from hardneg.schemas.recipes import AugmentationChoice
from hardneg.schemas.training_runs import RetrainRequest
from models.data.augmentation import NO_AUGMENTATION, Augmentation
from models.data.datasets import LabelledImage
from models.data.ground_truth import BACKGROUND, IGNORED, GroundTruth
from models.detectors import Detector, build
from models.inference.device import select_device
from models.sampling import SamplerSpec, build_sampler
from models.training.config import TrainingConfig
from service.blobs import BlobStore
from service.labelled_images import store as labelled_store
from service.labelled_images.ground_truth import ground_truth
from service.model_versions import store as version_store
from service.scoring.resources import Resources
from service.serving.loading import load_detector
from service.tables import Image, TrainingRun, TrainingRunImage
from service.training_runs import store
from service.training_runs.retraining import Retraining

FINE_TUNING_RATE = 5e-4
FRESH_RATE = 2e-3

AUGMENTATIONS = {
    AugmentationChoice.STANDARD: Augmentation(),
    AugmentationChoice.UNMIRRORED: Augmentation(flip_probability=0),
    AugmentationChoice.NONE: NO_AUGMENTATION,
}


def detector_to_train(
    retraining: Retraining, run: TrainingRun, device: str | None = None
) -> Detector:
    """
    Load the parent version's detector, or build a new one; loss and sampler as requested.

    It is on the device of the settings by default.
    """
    request = retraining.request
    device = device or str(select_device(retraining.resources.settings.device))
    if run.parent_version_id is None:
        detector = _build_detector(retraining).to(device)
    else:
        detector = _load_parent(retraining.resources, run.parent_version_id, device)
    if request.negative_weight is not None:
        detector.negative_weight = request.negative_weight
    if request.sampler is not None:
        detector.sampler = build_sampler(SamplerSpec(**request.sampler.model_dump()))
    return detector


def _build_detector(retraining: Retraining) -> Detector:
    request, resources = retraining.request, retraining.resources
    assert request.architecture is not None
    with resources.read_sessions.begin() as session:
        class_names = labelled_store.class_names_in(session, "train")
    torch.manual_seed(request.seed)
    return build(
        request.architecture,
        class_names,
        weights=request.weights,
        input_size=request.input_size,
    )


def _load_parent(resources: Resources, version_id: int, device: str) -> Detector:
    with resources.read_sessions.begin() as session:
        version = version_store.find_version(session, version_id)
    assert version is not None
    return load_detector(resources.blobs, version, device)


@dataclass(frozen=True, slots=True)
class TrainingSets:
    """The images of one training; `val` chooses its best epoch."""

    labelled: list[LabelledImage]
    negatives: list[LabelledImage]
    val: list[LabelledImage]


def training_sets(
    resources: Resources, run: TrainingRun, class_names: Sequence[str]
) -> TrainingSets:
    """
    Return the frozen list of a run, and the images of val, each with its ground truth.

    Raises:
        ValueError: an image of the frozen list was deleted meanwhile.
    """
    with resources.read_sessions.begin() as session:
        frozen = store.frozen_images(session, run.id)
        train_boxes = labelled_store.boxes_in(session, "train")
        val_boxes = labelled_store.boxes_in(session, "val")
        val_images = labelled_store.images_in(session, "val")
    missing = [line.image_id for line, image in frozen if image is None]
    if missing:
        raise ValueError(
            f"image {missing[0]} of the frozen training list was deleted before it was trained on"
        )
    labelled, negatives = [], []
    for line, image in frozen:
        assert image is not None
        if line.role == "labelled":
            truth = ground_truth(train_boxes.get(image.id, []), class_names)
            labelled.append(_labelled(resources.blobs, image, truth))
        else:
            negatives.append(_labelled(resources.blobs, image, _truth_of_negative(line)))
    val = [
        _labelled(resources.blobs, image, ground_truth(val_boxes.get(image.id, []), class_names))
        for image in val_images
    ]
    return TrainingSets(labelled, negatives, val)


def _truth_of_negative(line: TrainingRunImage) -> GroundTruth:
    """Return the boxes that a negative does not teach around; none for most."""
    ignored, background = line.ignored_boxes or [], line.background_boxes or []
    labels = [IGNORED] * len(ignored) + [BACKGROUND] * len(background)
    return GroundTruth(
        torch.tensor([*ignored, *background], dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
    )


def _labelled(blobs: BlobStore, image: Image, truth: GroundTruth) -> LabelledImage:
    return LabelledImage(image.sha256, partial(blobs.get, image.blob_key), truth)


def training_config(request: RetrainRequest, *, is_fresh: bool) -> TrainingConfig:
    """Return the request's recipe; `is_fresh` for a training without a parent version."""
    return TrainingConfig(
        epochs=request.epochs,
        steps_per_epoch=request.steps_per_epoch,
        batch_size=request.batch_size,
        negative_share=request.negative_share,
        learning_rate=request.learning_rate or (FRESH_RATE if is_fresh else FINE_TUNING_RATE),
        backbone_rate_factor=request.backbone_rate_factor,
        warmup_steps=request.warmup_steps,
        weight_decay=request.weight_decay,
        patience=request.patience,
        augmentation=AUGMENTATIONS[request.augmentation],
        seed=request.seed,
    )
