"""The rules of scans."""

from sqlalchemy.orm import Session

from hardneg.schemas.jobs import JobOut
from service.jobs.service import enqueue
from service.model_versions import service as version_service
from service.scans.job import SCAN, ScanParams


def queue_scan(session: Session, model_version: str | None) -> JobOut:
    """
    Queue a scan with a version, by default the serving one.

    Raises ModelVersionNotFound, NoServingVersion.
    """
    version = version_service.named_or_serving(session, model_version)
    return enqueue(session, SCAN, ScanParams(model_version_id=version.id))
