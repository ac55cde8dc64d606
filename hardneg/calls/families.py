"""Families of look-alikes."""

from hardneg.schemas.families import FamilyPage, FamilyReport
from hardneg.schemas.jobs import JobOut
from hardneg.transport import Connection, read_answer


class FamilyCalls(Connection):
    """Calls of `/families`."""

    def start_grouping(
        self,
        model_version: str | int | None = None,
        *,
        num_images: int = 200,
        num_mapped: int = 1000,
    ) -> JobOut:
        """
        Queue a grouping of a version's hardest images into families of look-alikes.

        Args:
            model_version: id or name; the serving version by default.
            num_images: how many of the hardest images to group, 1 to 5000.
            num_mapped: how many of the hardest images to place on the map, up to 20 000.

        Raises:
            Refused: There is no such version, or it has found nothing in the pool.
        """
        body: dict[str, object] = {"num_images": num_images, "num_mapped": num_mapped}
        if model_version is not None:
            body["model_version"] = str(model_version)
        return read_answer(JobOut, self._send_json("POST", "/families", body))

    def families(
        self,
        model_version: str | int | None = None,
        *,
        threshold: float = 0.5,
        min_size: int = 1,
        num_members: int = 6,
        after_number: int = 0,
        limit: int = 100,
    ) -> FamilyReport:
        """
        Return the families of a version's last grouping, by best score.

        Args:
            model_version: id or name; the serving version by default.
            threshold: score from which a detection counts, in [0, 1].
            min_size: only families of at least so many images.
            num_members: how many of its hardest images each family shows, up to 50.
            after_number: list families with numbers above this.
            limit: how many families, 1 to 1000.

        Raises:
            Refused: There is no such version, or its images were not grouped yet.
        """
        query = {
            "model_version": model_version,
            "threshold": threshold,
            "min_size": min_size,
            "num_members": num_members,
            "after_number": after_number,
            "limit": limit,
        }
        return read_answer(FamilyReport, self._get("/families", query))

    def family(self, family_id: int, *, offset: int = 0, limit: int = 100) -> FamilyPage:
        """
        Return a family with a page of its images, hardest first.

        Args:
            family_id: the `id` of a family in `families`; a new grouping makes new families.
            offset: how many images to skip.
            limit: size of the page, 1 to 1000.

        Raises:
            Refused: There is no such family, or no longer.
        """
        query = {"offset": offset, "limit": limit}
        return read_answer(FamilyPage, self._get(f"/families/{family_id}", query))
