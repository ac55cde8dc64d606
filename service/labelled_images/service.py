"""The rules of labelled images: errors are listed item by item, and the rest is stored."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.images import Box
from hardneg.schemas.labelled_images import (
    LabelledBoxOut,
    LabelledImageOut,
    LabelledImagePage,
    LabelledSplit,
    LabelledUploadItem,
    LabelledUploadResult,
    LabelProblem,
)
from models.data.datasets import LabelledImage
from models.data.ground_truth import GroundTruth
from service.audit.store import record
from service.errors import ServiceError, problem_of
from service.images import service as image_service
from service.images import views
from service.images.storing import Destination, ValidatedImage, store_image, validate_image
from service.labelled_images import store
from service.labelled_images.annotations import FindFile, read_annotations
from service.scoring.resources import Resources
from service.tables import Image, LabelledBox
from service.text import encodable, plain_file_name

MAX_LISTED_PROBLEMS = 1_000
MAX_PROBLEM_LENGTH = 500
WINDOW_BYTES = 64 * 1024**2  # a window ends early here, after the image that reaches it


class SameBytesTwice(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "same-bytes-twice"
    title = "The same image twice"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the image '{name}' of this upload has the same bytes, and its boxes were stored: "
            "send each image once, with all its boxes"
        )


def store_labelled_images(
    resources: Resources, destination: Destination, annotations: bytes, find_file: FindFile
) -> LabelledUploadResult:
    """
    Store the images that annotations in COCO's form describe, with their boxes.

    Window by window, images are validated on the decode threads and stored in order.

    Raises:
        InvalidAnnotations: nothing of the annotations can be used.
    """
    reading = read_annotations(annotations, find_file)
    max_pixels, window = resources.settings.max_pixels, resources.scorer.window
    _record_upload(resources, destination, len(reading.images))
    items: list[LabelledUploadItem] = []
    names: dict[str, str] = {}
    for images in _windows(reading.images, window):
        validations = resources.scorer.map_decode(
            lambda image: validate_image(image.read(), max_pixels, None), images
        )
        for image, validation in zip(images, validations, strict=True):
            items.append(
                _store(resources, destination, image, validation, reading.class_names, names)
            )
    problems = [
        LabelProblem(
            item=encodable(problem.item)[:MAX_PROBLEM_LENGTH],
            reason=encodable(problem.reason)[:MAX_PROBLEM_LENGTH],
            is_refused=problem.is_refused,
        )
        for problem in reading.issues[:MAX_LISTED_PROBLEMS]
    ]
    return LabelledUploadResult(
        class_names=list(reading.class_names),
        items=items,
        problems=problems,
        num_problems=len(reading.issues),
    )


def _windows(images: Sequence[LabelledImage], size: int) -> Iterator[list[LabelledImage]]:
    """Group images by `size`, and into less if their files are large."""
    window: list[LabelledImage] = []
    for image in images:
        window.append(image)
        num_bytes = sum(member.size_bytes for member in window)
        if len(window) == size or num_bytes >= WINDOW_BYTES:
            yield window
            window = []
    if window:
        yield window


def _record_upload(resources: Resources, destination: Destination, num_images: int) -> None:
    """Record an upload before its first image is stored: each image is a transaction of its own."""
    after = {"split": destination.split, "source": destination.source, "num_images": num_images}
    with resources.sessions.begin() as session:
        record(session, "upload-labelled-images", str(destination.split), after=after)


def _store(
    resources: Resources,
    destination: Destination,
    labelled: LabelledImage,
    validation: Future[ValidatedImage],
    class_names: tuple[str, ...],
    names: dict[str, str],
) -> LabelledUploadItem:
    """Store one image with its boxes; `names` has the first image with each digest so far."""

    def replace_boxes(session: Session, image: Image) -> None:
        store.replace_boxes(session, image.id, _rows(labelled.truth, class_names))

    name = plain_file_name(labelled.name)
    try:
        valid = validation.result()
        first_name = names.setdefault(valid.sha256, name)
        if first_name != name:
            raise SameBytesTwice(first_name)
        image, is_new = store_image(
            resources.sessions,
            resources.blobs,
            valid,
            file_name=name,
            destination=destination,
            also_write=replace_boxes,
        )
    except ServiceError as error:
        return LabelledUploadItem(file_name=name, status=error.status, problem=problem_of(error))
    return LabelledUploadItem(
        file_name=name,
        status=HTTPStatus.CREATED if is_new else HTTPStatus.OK,
        image_id=image.id,
        num_boxes=len(labelled.truth.labels),
    )


def list_labelled_images(
    session: Session, *, split: LabelledSplit, after_id: int, limit: int
) -> LabelledImagePage:
    """Return a page of labelled images with their boxes, in order of id."""
    images = image_service.list_images(
        session, split=split, source=None, after_id=after_id, limit=limit
    )
    boxes = store.boxes_of(session, [image.id for image in images])
    return LabelledImagePage(
        items=[
            LabelledImageOut(
                image=views.image_out(image), boxes=[_box_out(row) for row in boxes[image.id]]
            )
            for image in images
        ],
        next_after_id=images[-1].id if len(images) == limit else None,
    )


def _rows(truth: GroundTruth, class_names: tuple[str, ...]) -> list[dict[str, object]]:
    return [
        {
            "position": position,
            "class_name": class_names[label - 1],
            **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
        }
        for position, (box, label) in enumerate(
            zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)
        )
    ]


def _box_out(row: LabelledBox) -> LabelledBoxOut:
    return LabelledBoxOut(label=row.class_name, box=Box(x1=row.x1, y1=row.y1, x2=row.x2, y2=row.y2))
