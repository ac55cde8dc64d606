"""The state of an unfinished training, kept where another worker finds it."""

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

    def __init__(self, job: RunningJob, run_id: int, folder: Path) -> None:
        self.path = folder / "state.safetensors"
        self._job = job
        self._run_id = run_id

    def fetch(self) -> Path | None:
        """Fetch the copy that an earlier attempt at this run has saved, if there is one."""
        resume = self._job.resume or {}
        key = key_in(resume, STATE_KEY)
        if key is None or resume.get("run_id") != self._run_id:
            return None
        self._job.blobs.copy_to_file(key, self.path)
        return self.path

    def save(self) -> None:
        """
        Copy the local file to the blob store, for the next attempt.

        Raises:
            LeaseLost: the copy before this one is still the one to resume from.
        """
        previous_key = key_in(self._job.resume, STATE_KEY)
        key = f"training/{self._run_id}/{uuid4().hex}.safetensors"
        with self.path.open("rb") as file:
            self._job.blobs.put(key, file)
        self._job.save_resume({"run_id": self._run_id, STATE_KEY: key})
        if previous_key is not None:
            self._job.blobs.delete(previous_key)


def forget_state(job: RunningJob) -> None:
    """Delete the state of a training that is finished. Raises LeaseLost."""
    resume = job.resume
    job.save_resume({})
    delete_leftovers(job.blobs, {}, resume)
