"""Health of the process, and its readiness to score."""

from pydantic import BaseModel

from hardneg.transport import Connection, read_answer


class Readiness(BaseModel):
    """The answer of `GET /readyz`."""

    model_version: str


class HealthCalls(Connection):
    """Calls of `/healthz` and `/readyz`."""

    def check_alive(self) -> None:
        """Raise ClientError unless a service answers at the address."""
        self._get("/healthz")

    def check_ready(self) -> str:
        """
        Return the name of the model version that scores.

        Raises:
            Refused: The service cannot score; the message gives the reason.
        """
        return read_answer(Readiness, self._get("/readyz")).model_version
