"""Why there is no version to score or to rank with."""

from http import HTTPStatus

from service.errors import ServiceError


class NoServingVersion(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "no-serving-version"
    title = "No model version serves"


class NothingRanked(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "nothing-ranked"
    title = "No model version serves"

    def __init__(self) -> None:
        super().__init__(
            "no model version serves, so there is no ranking yet: add one with "
            "POST /model-versions, then POST /model-versions/ID/activate"
        )
