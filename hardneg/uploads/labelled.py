"""Uploads a folder of labelled images in parts, each with the part of the annotations it needs."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from rich.progress import Progress

from hardneg.client import Client, ClientError, Refused
from hardneg.schemas.labelled_images import LabelledUploadResult
from hardneg.uploads.batches import in_batches, send_batch
from models.data.coco import CocoFormatError, CocoReading, folder_images, read_coco
from models.data.datasets import LabelledImage, Reader
from models.data.images import UnreadableImageError
from service.text import encodable


@dataclass(slots=True)
class LabelledReport:
    """What became of a labelled set; `refused` and `mended` are lines for a person."""

    class_names: tuple[str, ...]
    num_new: int = 0
    num_known: int = 0
    num_boxes: int = 0
    refused: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _LoadedImage:
    image: LabelledImage
    content: bytes


def read_labels(labels: Path, folder: Path) -> CocoReading:
    """
    Read COCO JSON by the service's own rules, so that parts of it are refused as the whole is.

    Raises ClientError when nothing of the file can be used.
    """
    try:
        return read_coco(json.loads(labels.read_bytes()), _files_in(folder))
    except OSError as error:
        raise ClientError(f"cannot read {labels}: {error.strerror}") from error
    except CocoFormatError as error:
        raise ClientError(f"{labels}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ClientError(f"{labels} is not JSON: {error}") from error


def import_labelled(
    client: Client, reading: CocoReading, *, split: str, source: str, progress: Progress
) -> LabelledReport:
    """
    Upload all images that could be read, in the order of the JSON.

    Raises ClientError if the service goes away or takes no upload at all; what it has answered
    for is stored, and sending it again is harmless.
    """
    report = LabelledReport(reading.class_names)
    for problem in reading.issues:
        lines = report.refused if problem.is_refused else report.mended
        lines.append(encodable(f"{problem.item}: {problem.reason}"))
    task = progress.add_task("importing", total=len(reading.images))
    send = partial(_send, client, reading.class_names, split, source)
    for batch in in_batches(_load(reading.images, report), lambda item: len(item.content)):
        for result in send_batch(send, batch):
            _count(result, report)
        progress.advance(task, len(batch))
    progress.update(task, completed=len(reading.images))
    return report


def _files_in(folder: Path) -> Callable[[str], Reader | None]:
    find = folder_images(folder)

    def find_readable(file_name: str) -> Reader | None:
        try:
            read = find(file_name)
        except (OSError, ValueError):  # no name that a file could have
            return None
        return None if read is None else partial(_read, read)

    return find_readable


def _read(read: Reader) -> bytes:
    try:
        return read()
    except OSError as error:
        raise UnreadableImageError(f"the file cannot be read: {error.strerror}") from error


def _load(images: Sequence[LabelledImage], report: LabelledReport) -> Iterator[_LoadedImage]:
    """The service sees only a part at a time, so images that are the same are found here."""
    names: dict[bytes, str] = {}
    for image in images:
        try:
            content = image.read()
        except UnreadableImageError as error:
            report.refused.append(f"{image.name}: {error}")
            continue
        same = names.setdefault(sha256(content).digest(), image.name)
        if same == image.name:
            yield _LoadedImage(image, content)
        else:
            report.refused.append(
                f"{image.name}: the image {same} has the same bytes, and its boxes hold"
            )


def _send(
    client: Client,
    class_names: Sequence[str],
    split: str,
    source: str,
    batch: Sequence[_LoadedImage],
) -> list[LabelledUploadResult | str]:
    """The service's answer, or why it refuses a single image as a whole."""
    files = [(item.image.name, item.content) for item in batch]
    coco = json.dumps(_coco([item.image for item in batch], class_names)).encode()
    try:
        return [client.upload_labelled(coco, files, split=split, source=source)]
    except Refused as error:
        if len(batch) == 1 and error.problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return [f"{batch[0].image.name}: {error}"]
        raise


def _coco(images: Sequence[LabelledImage], class_names: Sequence[str]) -> dict[str, object]:
    boxes = [
        {
            "image_id": image_id,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
        }
        for image_id, image in enumerate(images)
        for (x1, y1, x2, y2), label in zip(
            image.truth.boxes.tolist(), image.truth.labels.tolist(), strict=True
        )
    ]
    return {
        "images": [
            {"id": image_id, "file_name": image.name} for image_id, image in enumerate(images)
        ],
        "annotations": [{"id": number, **box} for number, box in enumerate(boxes)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(class_names, 1)],
    }


def _count(result: LabelledUploadResult | str, report: LabelledReport) -> None:
    if isinstance(result, str):
        report.refused.append(result)
        return
    report.refused += [f"{problem.item}: {problem.reason}" for problem in result.problems]
    for item in result.items:
        if item.problem is not None:
            report.refused.append(f"{item.file_name}: {item.problem.detail}")
            continue
        report.num_new += item.status == HTTPStatus.CREATED
        report.num_known += item.status == HTTPStatus.OK
        report.num_boxes += item.num_boxes
