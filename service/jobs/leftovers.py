"""Blobs that only an unfinished job needs: its upload, and the state that it resumes from."""

from collections.abc import Mapping

from service.blobs import BlobStore

UPLOAD_KEY = "upload_key"  # in a job's parameters
STATE_KEY = "state_key"  # in its resume data; each job has a folder for its states


def key_in(values: Mapping[str, object] | None, name: str) -> str | None:
    """Return a blob's key from the parameters or the resume data of a job, if it is there."""
    key = (values or {}).get(name)
    return key if isinstance(key, str) else None


def delete_leftovers(
    blobs: BlobStore, params: Mapping[str, object], resume: Mapping[str, object] | None
) -> None:
    """
    Delete the blobs of a job that is over.

    Call it after the job's row says so: a blob that is left is better than a job without its blob.
    """
    upload_key = key_in(params, UPLOAD_KEY)
    if upload_key is not None:
        blobs.delete(upload_key)
    state_key = key_in(resume, STATE_KEY)
    if state_key is not None:
        # The whole folder: a worker may have died after it wrote a state and before it noted it.
        blobs.delete_all(state_key.rpartition("/")[0])
