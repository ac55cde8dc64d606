"""Scans."""

from hardneg.schemas.jobs import JobOut
from hardneg.transport import Connection, read_answer


class ScanCalls(Connection):
    """Calls of `/scans`."""

    def start_scan(self, model_version: str | int | None = None) -> JobOut:
        """
        Queue a scan: a version scores all stored images that it has not scored.

        Args:
            model_version: id or name; the serving version by default.

        Raises:
            Refused: There is no such version, or none serves.
        """
        body = {} if model_version is None else {"model_version": str(model_version)}
        return read_answer(JobOut, self._send_json("POST", "/scans", body))
