"""Measurements of model versions."""

from hardneg.schemas.firing import FiringReport
from hardneg.schemas.stats import FalseDetectionReport, Iteration, IterationPage
from hardneg.transport import Connection, iterate_pages, read_answer


class StatsCalls(Connection):
    """Calls under `/stats`."""

    def false_detections(
        self, model_version: str | int | None = None, *, threshold: float = 0.5
    ) -> FalseDetectionReport:
        """
        Report what a version detects on the sealed negatives, where every detection is false.

        Args:
            model_version: id or name; the serving version by default.
            threshold: lowest score of a detection that counts, in [0, 1].

        Raises:
            Refused: There is no such version, it has scored no sealed image yet, or it keeps no
                detections below a higher threshold.
        """
        query = {"model_version": model_version, "threshold": threshold}
        return read_answer(FalseDetectionReport, self._get("/stats/false-detections", query))

    def firing(
        self,
        model_version: str | int | None = None,
        *,
        before: str | int | None = None,
        split: str = "negative-test",
        change: str = "stopped",
        threshold: float | None = None,
        threshold_before: float | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> FiringReport:
        """
        Return images without objects on which a version stopped firing, started, or still fires.

        Args:
            model_version: id or name; the serving version by default.
            before: id or name of the version to compare with; the parent version by default.
            split: `negative-test` or `pool`.
            change: the images to list: `stopped`, `started` or `stayed`.
            threshold: score from which a detection counts; the version's operating threshold by
                default.
            threshold_before: the same for `before`.
            offset: how many images to skip.
            limit: size of the page, 1 to 200.

        Raises:
            Refused: There is no such version, it has no parent version, or it keeps no detections
                below a higher threshold.
        """
        query = {
            "model_version": model_version,
            "before": before,
            "split": split,
            "change": change,
            "threshold": threshold,
            "threshold_before": threshold_before,
            "offset": offset,
            "limit": limit,
        }
        return read_answer(FiringReport, self._get("/stats/firing", query))

    def iterations(self) -> list[Iteration]:
        """Return all versions, oldest first, with the figures measured for each."""

        def show(after_id: int | None) -> IterationPage:
            return read_answer(
                IterationPage, self._get("/stats/iterations", {"after_id": after_id or 0})
            )

        pages = iterate_pages(show, lambda page: page.next_after_id)
        return [item for page in pages for item in page.items]
