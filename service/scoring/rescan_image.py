"""One image on its way through a rescan."""

from concurrent.futures import Future
from dataclasses import dataclass

from models.detectors.detector import PreparedImage
from models.inference.predict import Prediction
from service.scoring.results import ScoreResult, ScoringFailure, wait_for_result
from service.tables import Image


@dataclass(slots=True, eq=False)
class RescanImage:
    """
    One image on its way through the stages of a rescan; each stage sets its fields once.

    Attributes:
        image: the stored image.
        decoding: its pixels, from the decode stage until no forward pass needs them any more.
        cutoff: log-odds of the last image in the exact top of its source; None if the source is
            too small for quick scores to pay, or its images are not ranked.
        quick: its quick score, queued where there is a cutoff.
        quick_result: set when `quick` has been waited for.
        exact: its exact score, queued at once without a cutoff, or as a second look.
        failure: why the image could not be read; then no stage after the decode stage touches it.
    """

    image: Image
    decoding: Future[PreparedImage] | None
    cutoff: float | None = None
    quick: Future[Prediction] | None = None
    quick_result: ScoreResult | None = None
    exact: Future[Prediction] | None = None
    failure: ScoringFailure | None = None

    @property
    def pixels(self) -> PreparedImage:
        """Wait for the pixels. Raises what reading or decoding them raised."""
        assert self.decoding is not None
        return self.decoding.result()

    def drop_pixels(self) -> None:
        """Free the memory; the engine holds the pixels until it has scored them."""
        self.decoding = None

    def wait_for_result(self) -> ScoreResult:
        """Return the exact score where one was queued, else the quick one, else the failure."""
        if self.exact is not None:
            return wait_for_result(self.exact)
        result = self.quick_result or self.failure
        assert result is not None
        return result

    def cancel(self) -> None:
        """Cancel what has not begun; a batch that the engine has begun is still computed."""
        for future in (self.decoding, self.quick, self.exact):
            if future is not None:
                future.cancel()
