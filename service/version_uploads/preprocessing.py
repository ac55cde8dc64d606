"""The check that an ONNX file gets its images as its trainer gave them."""

from dataclasses import asdict

from hardneg.schemas.model_versions import PreprocessingWarning
from models.data.images import UnreadableImageError
from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.spec import ForeignSpec
from models.evaluation.preprocessing import BetterPreprocessing, find_better_preprocessing
from service.evaluation import store
from service.jobs.running import RunningJob
from service.labelled_images import store as labelled_store
from service.labelled_images.ground_truth import ground_truth
from service.model_versions import service as version_service
from service.scoring.resources import Resources
from service.serving.loading import load_version

MAX_IMAGES = 32


def check_preprocessing(job: RunningJob, resources: Resources, version_id: int) -> None:
    """Save, beside the figures of an ONNX file, whether other preprocessing suits it better."""
    with resources.read_sessions.begin() as session:
        version = version_service.get_version(session, str(version_id))
        boxes = labelled_store.boxes_in(session, "val")
        images = [image for image in labelled_store.images_in(session, "val") if boxes[image.id]]
    detector = load_version(resources, version).detector
    if not isinstance(detector, ForeignDetector):
        return
    job.raise_if_stopped()
    job.progress("trying other preprocessing on val", 0)
    chosen = images[:: max(1, len(images) // MAX_IMAGES)][:MAX_IMAGES]
    try:
        better = find_better_preprocessing(
            detector,
            [resources.blobs.get(image.blob_key) for image in chosen],
            [ground_truth(boxes[image.id], version.class_names) for image in chosen],
        )
    except (UnreadableImageError, FileNotFoundError) as error:
        job.log(f"the preprocessing is not checked: {error}")
        return
    warning = None if better is None else _warning(detector.spec, better)
    with job.transaction() as session:
        store.save_preprocessing_warning(
            session, version_id, None if warning is None else warning.model_dump(mode="json")
        )
        if warning is not None:
            settings = " and ".join(warning.settings)
            job.log_in(session, f"{settings} suits val better", warning.model_dump(mode="json"))


def _warning(spec: ForeignSpec, better: BetterPreprocessing) -> PreprocessingWarning:
    before, after = asdict(spec), asdict(better.spec)
    settings = [f"{name}={_text(after[name])}" for name in after if after[name] != before[name]]
    return PreprocessingWarning(
        settings=settings,
        message=(
            f"the preprocessing looks wrong: with {' and '.join(settings)}, AP@[.5:.95] on "
            f"{better.num_images} images of val is {better.ap50_95_with_spec:.3f}, and "
            f"{better.ap50_95:.3f} as it is. If its trainer did so, add the file again with that"
        ),
        num_images=better.num_images,
        ap50_95=better.ap50_95,
        ap50_95_with_settings=better.ap50_95_with_spec,
    )


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{item:g}" for item in value)
    return str(value)
