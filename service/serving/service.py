"""Rules about the serving version, which is the last one activated."""

from sqlalchemy.orm import Session

from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.serving import store
from service.serving.errors import NoServingVersion, VersionNotLoaded
from service.tables import ModelVersion


def require_serving_version(session: Session) -> ModelVersion:
    """Return the version that was activated last. Raises NoServingVersion."""
    version = store.serving_version(session)
    if version is None:
        raise NoServingVersion
    return version


def loaded_version(resources: Resources) -> LoadedVersion:
    """
    Return the version that this process scores with.

    Raises:
        NoServingVersion: no version has been activated.
        VersionNotLoaded: one has, but this process has not loaded it yet, or could not.
    """
    loaded = resources.scorer.serving
    if loaded is not None:
        return loaded
    with resources.read_sessions.begin() as session:
        version = require_serving_version(session)
    raise VersionNotLoaded(version.name, resources.scorer.loading_failure)
