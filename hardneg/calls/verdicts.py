"""One verdict for many images."""

from collections.abc import Mapping, Sequence

from hardneg.schemas.verdicts import VerdictReport
from hardneg.transport import Connection, read_answer


class VerdictCalls(Connection):
    """Calls of `/verdicts`."""

    def judge_images(
        self,
        verdict: str | None,
        image_ids: Sequence[int] | None = None,
        *,
        family_id: int | None = None,
        expected: Mapping[int, str | None] | None = None,
        overwrite: bool = False,
    ) -> VerdictReport:
        """
        Record one verdict for many images: chosen ones, or those of a family.

        An image with another verdict than expected keeps it, and is a conflict in the report.

        Args:
            verdict: `negative`, `contains-object` or `unsure`; None takes verdicts back.
            image_ids: up to 1000 images.
            family_id: in place of `image_ids`, a family of `families`.
            expected: the verdict that each image had when it was looked at; without one, none.
            overwrite: judge the images whatever verdicts they have.

        Raises:
            Refused: There is no such family, or both or none of images and family are given.
        """
        body: dict[str, object] = {"verdict": verdict, "overwrite": overwrite}
        if image_ids is not None:
            body["image_ids"] = list(image_ids)
        if family_id is not None:
            body["family_id"] = family_id
        if expected is not None:
            body["expected"] = {str(image_id): seen for image_id, seen in expected.items()}
        return read_answer(VerdictReport, self._send_json("POST", "/verdicts", body))
