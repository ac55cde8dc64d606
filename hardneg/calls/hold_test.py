"""Tests of images for true objects."""

from hardneg.schemas.hold_test import HeldPage, HoldTestReport
from hardneg.schemas.jobs import JobOut
from hardneg.transport import Connection, read_answer


class HoldTestCalls(Connection):
    """Calls of `/hold-test`."""

    def start_hold_test(
        self, model_version: str | int | None = None, *, num_images: int = 200
    ) -> JobOut:
        """
        Queue a test of a version's hardest images, and of the sealed ones, for true objects.

        Its decisions are shown by `hard_negatives` and `hold_test`. A retraining tests the images
        that it would mine by itself.

        Args:
            model_version: id or name; the serving version by default.
            num_images: how many of the pool's hardest images to test, 1 to 10 000.

        Raises:
            Refused: There is no such version, or no labelled object to compare with.
        """
        body: dict[str, object] = {"num_images": num_images}
        if model_version is not None:
            body["model_version"] = str(model_version)
        return read_answer(JobOut, self._send_json("POST", "/hold-test", body))

    def hold_test(self, model_version: str | int | None = None) -> HoldTestReport:
        """
        Return the last test of a version, with the sealed images that look like true objects.

        Args:
            model_version: id or name; the serving version by default.

        Raises:
            Refused: There is no such version, or it was not tested yet.
        """
        query = {"model_version": model_version}
        return read_answer(HoldTestReport, self._get("/hold-test", query))

    def held_images(
        self,
        model_version: str | int | None = None,
        *,
        split: str = "pool",
        num_nearest: int = 3,
        offset: int = 0,
        limit: int = 100,
    ) -> HeldPage:
        """
        Return a page of held images, each with the labelled boxes that it looks like.

        Args:
            model_version: id or name; the serving version by default.
            split: `pool`, or `negative-test` for suspicious sealed images.
            num_nearest: how many labelled boxes to show beside each image, up to 10.
            offset: how many images to skip.
            limit: size of the page, 1 to 500.

        Raises:
            Refused: There is no such version, or it was not tested yet.
        """
        query = {
            "model_version": model_version,
            "split": split,
            "num_nearest": num_nearest,
            "offset": offset,
            "limit": limit,
        }
        return read_answer(HeldPage, self._get("/hold-test/held", query))
