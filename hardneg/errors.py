"""The errors that the client raises: one family, each with a message for a person."""

from http import HTTPStatus

from hardneg.schemas.problems import Problem

INVALID_REQUEST = "/problems/invalid-request"
FILE_STATUSES = {
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


class ClientError(Exception):
    """Base of every error that the client raises; its message is one sentence."""


class Unreachable(ClientError):
    """The service did not answer: nothing listens there, or the connection broke."""


class Refused(ClientError):
    """
    The service refused the request.

    Attributes:
        problem: the service's answer as RFC 9457 problem details: type, title, status, detail.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem

    @property
    def concerns_one_file(self) -> bool:
        """Return whether the service refused an uploaded file, not the request around it."""
        return self.problem.status in FILE_STATUSES and self.problem.type != INVALID_REQUEST


class TimedOut(ClientError):
    """A job did not finish within the time that the caller was willing to wait."""
