"""An export: its labels are written at once, its images are read one after another as they go."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hardneg.schemas.exports import ExportedImages, ExportFormat
from service.blobs import BlobStore
from service.errors import ServiceError
from service.exports.archive import ZipMember, file_member, stream_zip
from service.exports.formats import LABEL_FORMATS
from service.exports.images import ExportedImage
from service.exports.places import Places
from service.exports.record import RECORD_NAME, recorded


class ExportExtraMissing(ServiceError):
    """A format needs a package that is not installed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "export-extra-missing"
    title = "A package is not installed"

    def __init__(self, error: ImportError) -> None:
        super().__init__(
            f"this format needs the package '{error.name}': ask for another format, such as "
            "'jsonl', or run pip install 'hardneg[parquet]' in the server's environment"
        )


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """
    What an export looks like.

    Attributes:
        service_url: the service as the client reached it, without a slash at its end.
    """

    format: ExportFormat
    images: ExportedImages
    service_url: str


class ExportedZip(NamedTuple):
    """A zip that is sent while it is written, and a name for it."""

    name: str
    chunks: Iterator[bytes]


def start_export(
    blobs: BlobStore,
    options: ExportOptions,
    name: str,
    class_names: Sequence[str],
    images: Iterable[ExportedImage],
) -> ExportedZip:
    """
    Take over all images and write their labels; return a zip named `name` and the format.

    When this returns, `images` is at its end, and no bytes of an image were read. A blob that is
    deleted meanwhile ends the zip in FileNotFoundError.

    Raises:
        ExportExtraMissing: a package that the format needs is not installed.
    """
    chunks = _export(blobs, options, class_names, images)
    try:
        first = next(chunks)
    except ImportError as error:
        raise ExportExtraMissing(error) from error
    return ExportedZip(f"{name}-{options.format}", chain([first], chunks))


def _export(
    blobs: BlobStore,
    options: ExportOptions,
    class_names: Sequence[str],
    images: Iterable[ExportedImage],
) -> Iterator[bytes]:
    label_format = LABEL_FORMATS[options.format]
    places = Places(label_format.image_folder, options.service_url, options.images)
    members: list[ZipMember] = []
    with TemporaryDirectory(prefix="hardneg-") as name:
        folder = Path(name)
        with (folder / RECORD_NAME).open("wb") as record:
            listed = _listed(recorded(images, places, record), blobs, places, members)
            label_format.write(folder, listed, class_names, places)
        yield from stream_zip(chain(_label_files(folder), members))


def _listed(
    images: Iterable[ExportedImage], blobs: BlobStore, places: Places, members: list[ZipMember]
) -> Iterator[ExportedImage]:
    """Pass images on, and list those that go into the zip."""
    for image in images:
        if places.images is ExportedImages.INSIDE:
            read = partial(blobs.stream, image.blob_key)
            members.append(ZipMember(places.path(image), image.size_bytes, read))
        yield image


def _label_files(folder: Path) -> list[ZipMember]:
    """Return the files of a folder, in the order of their paths."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [file_member(path, path.relative_to(folder).as_posix()) for path in paths]
