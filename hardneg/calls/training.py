"""Retraining, and the training runs that it consists of."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Unpack

from pydantic_core import to_jsonable_python

from hardneg.schemas.jobs import JobOut
from hardneg.schemas.training_runs import (
    FreezeFields,
    FreezeRequest,
    MinedPage,
    RetrainFields,
    RetrainPreview,
    RetrainRequest,
    TrainingImageOut,
    TrainingImagePage,
    TrainingRunOut,
    TrainingRunPage,
)
from hardneg.transport import Connection, iterate_pages, read_answer

PAGE_SIZE = 1000
IMAGES_PAGE_SIZE = 10_000


class TrainingCalls(Connection):
    """Calls of `/retrain` and under `/training-runs`."""

    def retrain(
        self, request: RetrainRequest | None = None, **fields: Unpack[RetrainFields]
    ) -> JobOut:
        """
        Queue a retraining with the pool's hardest images, and return its job.

        The job mines, trains, scores the pool with the new version, measures it on `val` and on the
        sealed negatives, and promotes it or says why not; then again, for as many rounds as asked.
        Without any argument it does so with defaults that work.

        Args:
            request: all fields in one object.
            **fields: single fields of a `RetrainRequest`, such as `iterations=3` or
                `strategy="random"`; they win over those of `request`.

        Raises:
            Refused: A field is wrong, or there is nothing to train on yet.
        """
        return read_answer(JobOut, self._send_json("POST", "/retrain", _body(request, fields)))

    def preview_retraining(
        self, request: RetrainRequest | None = None, **fields: Unpack[RetrainFields]
    ) -> RetrainPreview:
        """
        Return what `retrain` would do with the same arguments, without doing it.

        Raises:
            Refused: `retrain` would be refused, too.
        """
        answer = self._send_json("POST", "/retrain/preview", _body(request, fields))
        return read_answer(RetrainPreview, answer)

    def freeze(
        self, request: FreezeRequest | None = None, **fields: Unpack[FreezeFields]
    ) -> TrainingRunOut:
        """
        Freeze a list of images to train on elsewhere, and return its training run.

        The list is chosen as for a retraining. Add the result of the training with
        `add_checkpoint(file, training_run_id=run.id)`.

        Args:
            request: all fields in one object.
            **fields: single fields of a `FreezeRequest`, such as `num_negatives=60`; they win over
                those of `request`.

        Raises:
            Refused: No version serves, it has not scored the pool yet, or a field is wrong.
        """
        answer = self._send_json("POST", "/training-runs", _body(request, fields))
        return read_answer(TrainingRunOut, answer)

    def training_runs(
        self,
        *,
        job_id: int | None = None,
        model_version: str | int | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> TrainingRunPage:
        """
        Return one page of the training runs, newest first.

        Args:
            job_id: only runs of this job.
            model_version: only runs that made this version, by its id or name.
            before_id: only ids below this one; `next_before_id` of the page before.
            limit: size of the page, 1 to 1000.
        """
        query = {
            "job_id": job_id,
            "model_version": model_version,
            "before_id": before_id,
            "limit": limit,
        }
        return read_answer(TrainingRunPage, self._get("/training-runs", query))

    def iter_training_runs(
        self, *, job_id: int | None = None, model_version: str | int | None = None
    ) -> Iterator[TrainingRunOut]:
        """Yield all training runs, or those of a job or version, newest first."""

        def show(before_id: int | None) -> TrainingRunPage:
            return self.training_runs(
                job_id=job_id, model_version=model_version, before_id=before_id, limit=PAGE_SIZE
            )

        for page in iterate_pages(show, lambda page: page.next_before_id):
            yield from page.items

    def training_run(self, run_id: int) -> TrainingRunOut:
        """Return one training run: its images in numbers, its epochs, and the decision."""
        return read_answer(TrainingRunOut, self._get(f"/training-runs/{run_id}"))

    def iter_training_images(self, run_id: int) -> Iterator[TrainingImageOut]:
        """Yield the frozen list of images that a run was trained on, in order of image id."""

        def show(after_id: int | None) -> TrainingImagePage:
            query = {"after_id": after_id or 0, "limit": IMAGES_PAGE_SIZE}
            return read_answer(
                TrainingImagePage, self._get(f"/training-runs/{run_id}/images", query)
            )

        for page in iterate_pages(show, lambda page: page.next_after_id):
            yield from page.items

    def mined_images(self, run_id: int, *, offset: int = 0, limit: int = 50) -> MinedPage:
        """
        Return a page of a run's new negatives, hardest first, with their scores before and after.

        Args:
            run_id: id of the training run.
            offset: how many images to skip.
            limit: size of the page, 1 to 200.

        Raises:
            Refused: There is no such run.
        """
        query = {"offset": offset, "limit": limit}
        return read_answer(MinedPage, self._get(f"/training-runs/{run_id}/mined", query))

    def export_training_run(
        self,
        run_id: int,
        path: str | os.PathLike[str],
        file_format: str,
        *,
        content: str = "all",
        images: str = "inside",
    ) -> Path:
        """
        Save the images that a run trains on, in a zip that other trainers read.

        Args:
            run_id: id of the training run.
            path: the zip to write.
            file_format: `yolo`, `coco`, `voc`, `cvat`, `label-studio`, `csv`, `jsonl` or `parquet`.
            content: `all`, or `delta`: the run's new negatives alone.
            images: `inside` of the zip, or `links` to the service.

        Raises:
            Refused: There is no such run, or a package that the format needs is not installed.
            ClientError: The file cannot be written, or the connection breaks; then no file is
                written.
        """
        query = {"format": file_format, "content": content, "images": images}
        return self._save(f"/training-runs/{run_id}/export", Path(path), query)


def _body(request: FreezeRequest | None, fields: Mapping[str, object]) -> dict[str, object]:
    """Return what is sent of a request and of single fields, which win."""
    body: dict[str, object] = {}
    if request is not None:
        body = request.model_dump(mode="json", exclude_unset=True)
    body |= to_jsonable_python(dict(fields))
    return body
