"""Upload of a folder of labelled images in parts, each with the annotations that it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from http import HTTPStatus

from rich.progress import Progress

from hardneg.client import Client, Refused
from hardneg.schemas.labelled_images import LabelledUploadResult
from hardneg.uploads.annotations import AnnotatedFolder, AnnotatedImage, printable
from hardneg.uploads.batches import in_batches, send_batch


@dataclass(slots=True)
class LabelledReport:
    """
    The outcome of the upload of a labelled set.

    Attributes:
        class_names: in label order; empty until the service has answered once.
        num_new: images that the service did not know.
        num_known: images that it knew; their boxes are replaced.
        num_boxes: boxes that it stored.
        refused: a line for each item that was left out, with the reason.
        mended: a line for each item that was stored after a change, such as a clipped box.
    """

    class_names: tuple[str, ...] = ()
    num_new: int = 0
    num_known: int = 0
    num_boxes: int = 0
    refused: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _LoadedImage:
    entry: AnnotatedImage
    content: bytes


def import_labelled(
    client: Client, labelled: AnnotatedFolder, *, split: str, source: str, progress: Progress
) -> LabelledReport:
    """
    Upload all images that can be sent, in the order of the JSON.

    Raises:
        ClientError: The service went away or takes no upload at all. The images that it has
            answered for are stored; sending them again is harmless.
    """
    report = LabelledReport(refused=list(labelled.refused))
    task = progress.add_task("importing", total=len(labelled.images))
    send = partial(_send, client, labelled, split, source)
    for batch in in_batches(_load(labelled.images, report), lambda item: len(item.content)):
        for result in send_batch(send, batch):
            _count(result, report)
        progress.advance(task, len(batch))
    progress.update(task, completed=len(labelled.images))
    return report


def _load(images: Sequence[AnnotatedImage], report: LabelledReport) -> Iterator[_LoadedImage]:
    """Read images one by one; find equal ones here, because the service sees only a part."""
    names: dict[bytes, str] = {}
    for image in images:
        try:
            content = image.path.read_bytes()
        except OSError as error:
            report.refused.append(
                f"image {image.image_id}: {image.name} cannot be read: {error.strerror}"
            )
            continue
        same = names.setdefault(sha256(content).digest(), image.name)
        if same == image.name:
            yield _LoadedImage(image, content)
        else:
            report.refused.append(
                f"{image.name}: the image {same} has the same bytes, and its boxes were sent"
            )


def _send(
    client: Client,
    labelled: AnnotatedFolder,
    split: str,
    source: str,
    batch: Sequence[_LoadedImage],
) -> list[LabelledUploadResult | str]:
    """Return the service's answer, or its reason to refuse a single image as a whole."""
    files = [(item.entry.name, item.content) for item in batch]
    annotations = labelled.part([item.entry for item in batch])
    try:
        return [client.upload_labelled_images(annotations, files, split=split, source=source)]
    except Refused as error:
        if len(batch) == 1 and error.problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return [f"{batch[0].entry.name}: {error}"]
        raise


def _count(result: LabelledUploadResult | str, report: LabelledReport) -> None:
    if isinstance(result, str):
        report.refused.append(result)
        return
    report.class_names = tuple(result.class_names)
    for problem in result.problems:
        lines = report.refused if problem.is_refused else report.mended
        line = printable(f"{problem.item}: {problem.reason}")
        is_repeated = problem.item.startswith("category") and line in lines
        if not is_repeated:  # every part has all categories, and so their problems
            lines.append(line)
    for item in result.items:
        if item.problem is not None:
            report.refused.append(f"{item.file_name}: {item.problem.detail}")
            continue
        report.num_new += item.status == HTTPStatus.CREATED
        report.num_known += item.status == HTTPStatus.OK
        report.num_boxes += item.num_boxes
