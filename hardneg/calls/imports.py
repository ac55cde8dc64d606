"""Imports: many images at once, fetched or unpacked by a worker."""

import os
from pathlib import Path

from hardneg.schemas.jobs import JobOut
from hardneg.transport import Connection, opened, read_answer


class ImportCalls(Connection):
    """Calls of `/imports`; each returns a job whose result counts images and lists refusals."""

    def import_archive(
        self, archive: str | os.PathLike[str], *, split: str = "pool", source: str = ""
    ) -> JobOut:
        """
        Upload a zip or tar of images, and queue the job that unpacks it.

        Args:
            archive: path of the file.
            split: `pool` for candidates, `negative-test` for sealed negatives.
            source: where the images come from, a word to filter by later.

        Raises:
            ClientError: The file cannot be read, or the service refused it.
        """
        path = Path(archive)
        with opened(path) as file:
            parts = [("archive", (path.name, file))]
            answer = self._post("/imports", {"split": split, "source": source}, parts)
        return read_answer(JobOut, answer)

    def import_uri(self, uri: str, *, split: str = "pool", source: str = "") -> JobOut:
        """
        Queue the import of a folder or bucket prefix that the service itself can read.

        Args:
            uri: such as `s3://bucket/yard-camera/`; HARDNEG_IMPORT_ROOTS of the service must
                allow it.
            split: `pool` for candidates, `negative-test` for sealed negatives.
            source: where the images come from, a word to filter by later.

        Raises:
            Refused: The settings of the service do not allow the place.
        """
        body = {"uri": uri, "split": split, "source": source}
        return read_answer(JobOut, self._send_json("POST", "/imports", body))
