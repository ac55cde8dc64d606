"""Blobs that only an unfinished job needs: what it was sent, and how far its training is."""

from collections.abc import Mapping

from service.blobs import BlobStore

KEPT_IN_PARAMS = "upload_key"
KEPT_IN_RESUME = "state_key"


def delete_leftovers(
    blobs: BlobStore, params: Mapping[str, object], resume: Mapping[str, object] | None
) -> None:
    """For a job that is over, however it ended; the row says so before its blobs go."""
    for key in (params.get(KEPT_IN_PARAMS), (resume or {}).get(KEPT_IN_RESUME)):
        if isinstance(key, str):
            blobs.delete(key)
