"""Measurements of model versions."""

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

    def iterations(self) -> list[Iteration]:
        """Return all versions, oldest first, with the figures measured for each."""

        def show(after_id: int | None) -> IterationPage:
            return read_answer(
                IterationPage, self._get("/stats/iterations", {"after_id": after_id or 0})
            )

        pages = iterate_pages(show, lambda page: page.next_after_id)
        return [item for page in pages for item in page.items]
