"""Errors of requests that need a model version while none serves."""

from http import HTTPStatus

from service.errors import ServiceError


class NoServingVersion(ServiceError):
    """A request before the first activation: a conflict, because the client can resolve it."""

    status = HTTPStatus.CONFLICT
    slug = "no-serving-version"
    title = "No model version serves"

    def __init__(self) -> None:
        super().__init__(
            "no model version serves yet: add one with POST /model-versions (or "
            "'hardneg model add'), then POST /model-versions/ID/activate"
        )


class VersionNotLoaded(ServiceError):
    """A request while the activated version is not in memory: the client should try again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "version-not-loaded"
    title = "Model version is not loaded"

    def __init__(self, version_name: str, failure: str | None) -> None:
        """Take the reason why the last attempt to load the version failed, None before that."""
        if failure is None:
            detail = f"model version '{version_name}' is being loaded: try again in a few seconds"
        else:
            detail = (
                f"model version '{version_name}' could not be loaded ({failure}): the service "
                "tries again every few seconds; POST /model-versions/ID/activate serves another one"
            )
        super().__init__(detail)
