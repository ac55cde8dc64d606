"""Images without labels: the pool and the sealed negatives."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hardneg.errors import ClientError, Refused
from hardneg.schemas.images import (
    ImageOut,
    ImagePage,
    JudgedBox,
    JudgedImageOut,
    ScoredImageOut,
    ScoreOut,
    UploadItem,
    UploadResult,
)
from hardneg.transport import Connection, iterate_pages, read_answer

ImageFile = str | os.PathLike[str] | tuple[str, bytes]
"""An image to upload: its path, or its name and its bytes."""

PAGE_SIZE = 1000


class ImageCalls(Connection):
    """Calls under `/images`, and `/score`."""

    def upload_images(
        self,
        files: Sequence[ImageFile],
        *,
        split: str = "pool",
        source: str = "",
        waits_for_scores: bool = True,
    ) -> list[UploadItem]:
        """
        Store images, and score them with the serving model version.

        All files travel in one request: send a large folder in parts, or with `hardneg import`.

        Args:
            files: paths, or pairs of a name and the bytes.
            split: `pool` for candidates, `negative-test` for sealed negatives.
            source: where the images come from, a word to filter by later.
            waits_for_scores: False returns as soon as the bytes are stored; scoring follows.

        Returns:
            One item for each file, in order: its status (201 new, 200 known already), and either
            the image with its score or the problem for which it was refused.

        Raises:
            ClientError: A file cannot be read, or the service refused the whole request.
        """
        named = [named_content(file) for file in files]
        if not named:
            return []
        parts = [("files", file) for file in named]
        headers = {} if waits_for_scores else {"Prefer": "respond-async"}
        form = {"split": split, "source": source}
        if len(named) > 1:
            return read_answer(UploadResult, self._post("/images", form, parts, headers)).items
        ((name, _),) = named
        try:
            answer = self._post("/images", form, parts, headers)
        except Refused as error:
            if not error.concerns_one_file:
                raise
            problem = error.problem
            return [UploadItem(file_name=name, status=problem.status, problem=problem)]
        image = read_answer(ScoredImageOut, answer)
        return [UploadItem(file_name=name, status=answer.status_code, image=image)]

    def score_image(self, file: ImageFile) -> ScoreOut:
        """Score one image with the serving model version; nothing is stored."""
        return read_answer(ScoreOut, self._post("/score", parts=[("file", named_content(file))]))

    def images(
        self,
        *,
        split: str | None = None,
        source: str | None = None,
        after_id: int = 0,
        limit: int = 100,
    ) -> ImagePage:
        """Return one page of the stored images, in order of id, from above `after_id`."""
        query = {"split": split, "source": source, "after_id": after_id, "limit": limit}
        return read_answer(ImagePage, self._get("/images", query))

    def iter_images(
        self, *, split: str | None = None, source: str | None = None
    ) -> Iterator[ImageOut]:
        """Yield all stored images, or those of a split or source, in order of id."""

        def show(after_id: int | None) -> ImagePage:
            return self.images(split=split, source=source, after_id=after_id or 0, limit=PAGE_SIZE)

        for page in iterate_pages(show, lambda page: page.next_after_id):
            yield from page.items

    def image(self, image_id: int, *, model_version: str | None = None) -> ScoredImageOut:
        """Return one image with its score by a version, by default the serving one."""
        query = {"model_version": model_version}
        return read_answer(ScoredImageOut, self._get(f"/images/{image_id}", query))

    def image_content(self, image_id: int) -> bytes:
        """Return the bytes of an image as they were uploaded."""
        return self._get(f"/images/{image_id}/content").content

    def thumbnail(self, image_id: int, max_side: int = 256) -> bytes:
        """Return a JPEG of an image, upright, its longer side at most `max_side` pixels."""
        return self._get(f"/images/{image_id}/thumbnail", {"max_side": max_side}).content

    def judge_image(
        self,
        image_id: int,
        verdict: str | None,
        boxes: Sequence[JudgedBox] | None = None,
        *,
        expected: str | None = "any",
    ) -> JudgedImageOut:
        """
        Record a person's verdict on an unlabelled image, and on boxes in it.

        Args:
            image_id: the image.
            verdict: `negative`, `contains-object` or `unsure`; None takes the verdict back. Images
                with an object are not ranked, and trained on as negatives only where a box is
                judged to hold none.
            boxes: replace the judged boxes of the image; None leaves them as they are.
            expected: the verdict that the image had when it was looked at, None for none; `any`
                replaces whatever verdict it has.

        Raises:
            Refused: There is no such image, it is labelled, or its verdict is not the expected one.
        """
        path = f"/images/{image_id}/verdict"
        body: dict[str, object] = {"verdict": verdict}
        if boxes is not None:
            body["boxes"] = [box.model_dump(mode="json") for box in boxes]
        if expected != "any":
            body["expected"] = expected
        return read_answer(JudgedImageOut, self._send_json("PUT", path, body))

    def delete_image(self, image_id: int) -> None:
        """Delete an image with its bytes, its scores and its rank."""
        self._delete(f"/images/{image_id}")


def named_content(file: ImageFile) -> tuple[str, bytes]:
    """Return name and bytes of a file to upload; raise ClientError if it cannot be read."""
    if isinstance(file, tuple):
        return file
    path = Path(file)
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror}") from error
