"""The parent version of a training: which one a request means, and whether it fits."""

from collections.abc import Sequence
from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.training_runs import FreezeRequest
from service.errors import ServiceError
from service.model_versions import service as version_service
from service.serving import store as serving_store
from service.tables import ModelVersion


class NotReadyToTrain(ServiceError):
    """Something that a training needs is not there yet."""

    status = HTTPStatus.CONFLICT
    slug = "not-ready-to-train"
    title = "Not ready to train"


def parent_version(session: Session, request: FreezeRequest) -> ModelVersion:
    """
    Return the requested version, by default the serving one.

    Raises ModelVersionNotFound, and NotReadyToTrain if none is named and none serves.
    """
    if request.start_from is not None:
        return version_service.get_version(session, request.start_from)
    serving = serving_store.serving_version(session)
    if serving is None:
        raise NotReadyToTrain(
            "no model version serves, so there is none to start from: name a version in "
            "'start_from', or train a new detector with POST /retrain and an 'architecture'"
        )
    return serving


def require_known_classes(version: ModelVersion, class_names: Sequence[str]) -> None:
    """Raise NotReadyToTrain for a class of the labelled images that a version does not know."""
    unknown = [name for name in class_names if name not in version.class_names]
    if unknown:
        raise NotReadyToTrain(
            f"version '{version.name}' does not know the class '{unknown[0]}' of the labelled "
            "images: train a new detector with POST /retrain and an 'architecture', or delete "
            "those images"
        )
