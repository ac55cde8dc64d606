"""The state of an unfinished training, kept where another worker finds it."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from service.jobs.leftovers import STATE_KEY, delete_leftovers, key_in
from service.jobs.running import RunningJob


class StoredTrainingState:
    """
    The state of one training: a local file, and its copy in the blob store.

    Attributes:
        path: the local file, which the training rewrites after every epoch.
    """

    def __init__(self, job: RunningJob, run_id: int, folder: Path, *, part: str = "") -> None:
        """Name a training by its run and, where a run has more than one, by its `part`."""
        self.path = folder / f"state{part}.safetensors"
        self._job = job
        self._run_id = run_id
        self._field = STATE_KEY + part

    def fetch(self) -> Path | None:
        """Fetch the copy that an earlier attempt at this run has saved, if there is one."""
        key = key_in(self._resume(), self._field)
        if key is None:
            return None
        self._job.blobs.copy_to_file(key, self.path)
        return self.path

    def save(self) -> None:
        """
        Copy the local file to the blob store, for the next attempt.

        Raises:
            LeaseLost: the copy before this one is still the one to resume from.
        """
        resume = self._resume()
        previous_key = key_in(resume, self._field)
        key = f"training/{self._run_id}/{uuid4().hex}.safetensors"
        with self.path.open("rb") as file:
            self._job.blobs.put(key, file)
        # STATE_KEY as well: by it the folder is found, and deleted when the job is over.
        states = {"run_id": self._run_id, STATE_KEY: key, self._field: key}
        self._job.save_resume({**resume, **states})
        if previous_key is not None:
            self._job.blobs.delete(previous_key)

    def _resume(self) -> Mapping[str, object]:
        """Return what earlier attempts at this run have saved."""
        resume = self._job.resume or {}
        return resume if resume.get("run_id") == self._run_id else {}


def forget_state(job: RunningJob) -> None:
    """Delete the state of a training that is finished. Raises LeaseLost."""
    resume = job.resume
    job.save_resume({})
    delete_leftovers(job.blobs, {}, resume)
