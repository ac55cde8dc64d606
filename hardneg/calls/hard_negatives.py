"""The ranked list of the pool."""

import os
from collections.abc import Iterator
from pathlib import Path

from hardneg.schemas.hard_negatives import HardNegative, HardNegativePage
from hardneg.transport import Connection, Query, iterate_pages, read_answer

PAGE_SIZE = 100  # the service reads and writes as many within a millisecond


class HardNegativeCalls(Connection):
    """Calls of `/hard-negatives`."""

    def hard_negatives(
        self,
        n: int = 10,
        *,
        model_version: str | None = None,
        min_score: float | None = None,
        max_score: float | None = None,
        label: str | None = None,
        source: str | None = None,
        verdict: str | None = None,
        trained: bool | None = None,
        held: bool | None = None,
        collapse: bool = False,
        cursor: str | None = None,
    ) -> HardNegativePage:
        """
        Return the pool's hardest images, hardest first, and how much of the pool is scored.

        Args:
            n: how many, 1 to 1000.
            model_version: id or name; the serving version by default.
            min_score: only images with a `max_score` of at least this, in [0, 1].
            max_score: only images with a `max_score` of at most this, in [0, 1].
            label: only images with a detection of this class.
            source: only images from this source.
            verdict: only images with this verdict: `negative`, `unsure`, `contains-object`, `none`
                or `any`. By default all but those that were judged to contain an object.
            trained: only images that the version or an ancestor was trained on (True), or only the
                others (False).
            held: only images that look as if they held a true object, most object-like first
                (True), or only the others (False).
            collapse: of near-duplicates, list only the hardest, with their number.
            cursor: `next_cursor` of the page before, with the same filters.

        Raises:
            Refused: No version serves, or there is no such version or class.
        """
        query = {
            "n": n,
            "model_version": model_version,
            "min_score": min_score,
            "max_score": max_score,
            "label": label,
            "source": source,
            "verdict": verdict,
            "trained": trained,
            "held": held,
            "collapse": collapse or None,
            "cursor": cursor,
        }
        return read_answer(HardNegativePage, self._get("/hard-negatives", query))

    def iter_hard_negatives(
        self,
        *,
        model_version: str | None = None,
        min_score: float | None = None,
        max_score: float | None = None,
        label: str | None = None,
        source: str | None = None,
        verdict: str | None = None,
        trained: bool | None = None,
        held: bool | None = None,
        collapse: bool = False,
    ) -> Iterator[HardNegative]:
        """
        Yield all images of the ranked list, hardest first; pages are fetched as they are needed.

        The filters are those of `hard_negatives`.
        """

        def show(cursor: str | None) -> HardNegativePage:
            return self.hard_negatives(
                PAGE_SIZE,
                model_version=model_version,
                min_score=min_score,
                max_score=max_score,
                label=label,
                source=source,
                verdict=verdict,
                trained=trained,
                held=held,
                collapse=collapse,
                cursor=cursor,
            )

        for page in iterate_pages(show, lambda page: page.next_cursor):
            yield from page.items

    def export_hard_negatives(
        self,
        path: str | os.PathLike[str],
        file_format: str,
        n: int = 10,
        *,
        images: str = "inside",
        model_version: str | None = None,
        min_score: float | None = None,
        max_score: float | None = None,
        label: str | None = None,
        source: str | None = None,
        verdict: str | None = None,
        trained: bool | None = None,
        held: bool | None = None,
        collapse: bool = False,
    ) -> Path:
        """
        Save the pool's hardest images as negatives, in a zip that other tools read.

        Args:
            path: the zip to write.
            file_format: `yolo`, `coco`, `voc`, `cvat`, `label-studio`, `csv`, `jsonl` or `parquet`.
            n: how many, 1 to 100 000.
            images: `inside` of the zip, or `links` to the service.
            model_version: id or name; the serving version by default.
            min_score: only images with a `max_score` of at least this, in [0, 1].
            max_score: only images with a `max_score` of at most this, in [0, 1].
            label: only images with a detection of this class.
            source: only images from this source.
            verdict: only images with this verdict: `negative`, `unsure` or `none`. Images that were
                judged to contain an object are never exported.
            trained: only images that the version or an ancestor was trained on (True), or only the
                others (False).
            held: only images that look as if they held a true object (True), or only the others
                (False).
            collapse: of near-duplicates, export only the hardest.

        Raises:
            Refused: No version serves, or there is no such version or class, or a package that
                the format needs is not installed.
            ClientError: The file cannot be written, or the connection breaks; then no file is
                written.
        """
        query: Query = {
            "format": file_format,
            "n": n,
            "images": images,
            "model_version": model_version,
            "min_score": min_score,
            "max_score": max_score,
            "label": label,
            "source": source,
            "verdict": verdict,
            "trained": trained,
            "held": held,
            "collapse": collapse or None,
        }
        return self._save("/hard-negatives/export", Path(path), query)
