"""Scoring of the images that a version has no score for, within a job."""

from collections.abc import Iterator, Sequence

from service.jobs.running import RunningJob, TransientError
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.scoring.engine import LoadedVersion
from service.scoring.rescan import score_stored
from service.scoring.resources import Resources
from service.scoring.splits import SCORED_SPLITS
from service.serving.loading import compile_version, is_worth_compiling, load_version
from service.tables import Image


def score_unscored_images(
    job: RunningJob,
    resources: Resources,
    version_id: int,
    stage: str,
    splits: Sequence[str] = SCORED_SPLITS,
) -> None:
    """
    Score the images of some splits that a version has not scored yet.

    Raises:
        Stopped: the images that were scored before are saved.
        TransientError: an image of val or negative-test could not be read.
    """
    with resources.read_sessions.begin() as session:
        num_total = score_store.count_unscored(session, version_id, splits)
        compiles = is_worth_compiling(resources.settings, session)
        version = version_store.find_version(session, version_id)
    if num_total == 0:
        return
    assert version is not None
    loaded = load_version(resources, version)
    if compiles:
        loaded = compile_version(resources, loaded, version)
    windows = _unscored_windows(job, resources, loaded, splits, stage, num_total)
    taken = score_stored(resources, loaded, windows)
    if taken.unread_splits - {"pool"}:
        raise TransientError("some of the images that a version is measured on cannot be read")


def _unscored_windows(
    job: RunningJob,
    resources: Resources,
    version: LoadedVersion,
    splits: Sequence[str],
    stage: str,
    num_total: int,
) -> Iterator[Sequence[Image]]:
    """Yield the images window by window. Raises Stopped."""
    window = resources.scorer.window_of(version)
    after_id = num_done = 0
    while True:
        job.raise_if_stopped()
        job.progress(stage, min(num_done, num_total), num_total)
        with resources.read_sessions.begin() as session:
            images = score_store.unscored_images(
                session, version.id, after_id=after_id, limit=window, splits=splits
            )
        if not images:
            return
        yield images
        after_id, num_done = images[-1].id, num_done + len(images)
