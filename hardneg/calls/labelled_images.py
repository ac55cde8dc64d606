"""Labelled images: what detectors are trained on and compared by."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hardneg.calls.images import PAGE_SIZE, ImageFile, named_content
from hardneg.schemas.labelled_images import (
    LabelledImageOut,
    LabelledImagePage,
    LabelledUploadResult,
)
from hardneg.transport import Connection, Part, Query, iterate_pages, opened, read_answer


class LabelledImageCalls(Connection):
    """Calls of `/labelled-images`."""

    def upload_labelled_images(
        self,
        annotations: bytes,
        files: Sequence[ImageFile],
        *,
        split: str,
        source: str = "",
    ) -> LabelledUploadResult:
        """
        Store images with their boxes; an image without boxes shows no object.

        All files travel in one request: send a large set in parts, or with `hardneg import`. Boxes
        of images that the service knows already are replaced.

        Args:
            annotations: COCO instances as JSON.
            files: the images that the annotations name, as paths or as pairs of name and bytes.
            split: `train` to train on, `val` to choose and compare versions by.
            source: where the images come from, a word to filter by later.

        Returns:
            An item for each image, and everything that is wrong with the annotations.

        Raises:
            ClientError: A file cannot be read, or the service could use none of the annotations.
        """
        parts: list[Part] = [("annotations", ("annotations.json", annotations))]
        parts += [("files", named_content(file)) for file in files]
        answer = self._post("/labelled-images", {"split": split, "source": source}, parts)
        return read_answer(LabelledUploadResult, answer)

    def upload_labelled_archive(
        self,
        archive: str | os.PathLike[str],
        *,
        split: str,
        source: str = "",
        annotations: bytes | None = None,
    ) -> LabelledUploadResult:
        """
        Store the images of a zip with their boxes.

        Args:
            archive: path of the zip.
            split: `train` to train on, `val` to choose and compare versions by.
            source: where the images come from, a word to filter by later.
            annotations: COCO instances as JSON; None if they are in the zip.

        Returns:
            An item for each image, and everything that is wrong with the annotations.

        Raises:
            ClientError: The file cannot be read, or the service could use none of the annotations.
        """
        path = Path(archive)
        with opened(path) as file:
            parts: list[Part] = [("archive", (path.name, file))]
            if annotations is not None:
                parts.append(("annotations", ("annotations.json", annotations)))
            answer = self._post("/labelled-images", {"split": split, "source": source}, parts)
        return read_answer(LabelledUploadResult, answer)

    def labelled_images(
        self, split: str, *, after_id: int = 0, limit: int = 100
    ) -> LabelledImagePage:
        """Return one page of a split's images with their boxes, in order of id."""
        query: Query = {"split": split, "after_id": after_id, "limit": limit}
        return read_answer(LabelledImagePage, self._get("/labelled-images", query))

    def iter_labelled_images(self, split: str) -> Iterator[LabelledImageOut]:
        """Yield all images of `train` or `val` with their boxes, in order of id."""

        def show(after_id: int | None) -> LabelledImagePage:
            return self.labelled_images(split, after_id=after_id or 0, limit=PAGE_SIZE)

        for page in iterate_pages(show, lambda page: page.next_after_id):
            yield from page.items
