"""Blobs that only an unfinished job needs: what it was sent, and how far its training is."""

from collections.abc import Mapping

from service.blobs import BlobStore

KEPT_IN_PARAMS = "upload_key"
KEPT_IN_RESUME = "state_key"


def delete_leftovers(
    blobs: BlobStore, params: Mapping[str, object], resume: Mapping[str, object] | None
) -> None:
    """For a job that is over, however it ended; the row says so before its blobs go."""
    upload_key = params.get(KEPT_IN_PARAMS)
    if isinstance(upload_key, str):
        blobs.delete(upload_key)
    state_key = (resume or {}).get(KEPT_IN_RESUME)
    if isinstance(state_key, str):  # a worker may have died between writing one and saying so
        blobs.delete_all(state_key.rpartition("/")[0])
