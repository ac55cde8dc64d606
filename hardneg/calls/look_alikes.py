"""Images that look alike."""

from hardneg.schemas.effect import RunEffect
from hardneg.schemas.look_alikes import DuplicateImages, LookAlikeMap, SimilarImages
from hardneg.transport import Connection, read_answer


class LookAlikeCalls(Connection):
    """Calls of `/images/{id}/similar`, `/images/{id}/duplicates`, `/map` and a run's `/effect`."""

    def similar_images(
        self, image_id: int, n: int = 10, *, model_version: str | int | None = None
    ) -> SimilarImages:
        """
        Return the images of the pool that look most like an image, by a version's best detections.

        Args:
            image_id: the image to compare with.
            n: how many, 1 to 100.
            model_version: id or name; the serving version by default.

        Raises:
            Refused: There is no such image or version, or its images were not grouped yet.
        """
        query = {"n": n, "model_version": model_version}
        return read_answer(SimilarImages, self._get(f"/images/{image_id}/similar", query))

    def duplicates(self, image_id: int, *, limit: int = 100) -> DuplicateImages:
        """
        Return the near-duplicates of an image in the pool.

        Args:
            image_id: the image whose copies are wanted.
            limit: how many, 1 to 1000.

        Raises:
            Refused: There is no such image.
        """
        query = {"limit": limit}
        return read_answer(DuplicateImages, self._get(f"/images/{image_id}/duplicates", query))

    def look_alike_map(
        self, model_version: str | int | None = None, *, limit: int = 20_000
    ) -> LookAlikeMap:
        """
        Return the detections of a version's last grouping as points on a plane.

        Args:
            model_version: id or name; the serving version by default.
            limit: how many points, 1 to 20 000.

        Raises:
            Refused: There is no such version, or its images were not grouped yet.
        """
        query = {"model_version": model_version, "limit": limit}
        return read_answer(LookAlikeMap, self._get("/map", query))

    def effect(
        self,
        run_id: int,
        *,
        threshold: float = 0.5,
        threshold_after: float | None = None,
        change: str | None = None,
        limit: int = 100,
    ) -> RunEffect:
        """
        Return which false detections on sealed images a training made vanish, left, and brought.

        Args:
            run_id: id of the training run.
            threshold: score from which a detection counts, in [0, 1].
            threshold_after: the same for the new version; by default `threshold`.
            change: list only detections that are `vanished`, `stayed` or `new`.
            limit: how many detections to list, 0 to 1000.

        Raises:
            Refused: There is no such run, or it has no version before or after it.
        """
        query = {
            "threshold": threshold,
            "threshold_after": threshold_after,
            "change": change,
            "limit": limit,
        }
        return read_answer(RunEffect, self._get(f"/training-runs/{run_id}/effect", query))
