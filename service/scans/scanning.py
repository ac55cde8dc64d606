"""Scoring of the images that a version has no score for, within a job and with all its helpers."""

import time
from collections.abc import Sequence

from service.jobs.running import RunningJob
from service.model_versions import store as version_store
from service.scans import store
from service.scans.feed import RangeFeed
from service.scans.planning import cut_into_ranges, range_size
from service.scans.store import IdRange, Scan
from service.scoring import store as score_store
from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.scoring.splits import SCORED_SPLITS
from service.serving.loading import compile_version, is_worth_compiling, load_version

POLL_S = 0.2  # while other processes score the last ranges
PROGRESS_EVERY_S = 0.5
MOST_PLANS = 3  # images that come in all the time must not keep a scan from its end


def scan_images(
    job: RunningJob,
    resources: Resources,
    version_id: int,
    stage: str,
    splits: Sequence[str] = SCORED_SPLITS,
) -> list[IdRange]:
    """
    Score the images of some splits that a version has not scored; other processes may help.

    Returns the ranges that failed three times: some of their images have no score.

    Raises:
        Stopped: the images that were scored before are saved.
    """
    with resources.read_sessions.begin() as session:
        num_total = score_store.count_unscored(session, version_id, splits)
    if num_total == 0:
        return []
    loaded = load_for_scan(resources, version_id)
    return _JobScan(job, resources, loaded, stage, splits, num_total).run()


def load_for_scan(resources: Resources, version_id: int) -> LoadedVersion:
    """Load a version to score many images with it. Raises as `load_detector` does."""
    with resources.read_sessions.begin() as session:
        compiles = is_worth_compiling(resources.settings, session)
        version = version_store.find_version(session, version_id)
    assert version is not None
    loaded = load_version(resources, version)
    return compile_version(resources, loaded, version) if compiles else loaded


class _JobScan:
    """A scan as the process sees it that runs its job."""

    def __init__(
        self,
        job: RunningJob,
        resources: Resources,
        version: LoadedVersion,
        stage: str,
        splits: Sequence[str],
        num_total: int,
    ) -> None:
        self._job = job
        self._resources = resources
        self._version = version
        self._stage = stage
        self._splits = splits
        self._num_total = num_total
        self._scan = Scan(job.id, version.id)
        self._reported_at = 0.0

    def run(self) -> list[IdRange]:
        with self._job.transaction() as session:
            store.reopen_failed(session, self._scan)
        for number in range(MOST_PLANS):
            if not self._plan() and number > 0:
                break
            self._work_until_finished()
        with self._job.transaction() as session:
            failed = store.failed_ranges(session, self._scan)
            store.delete_ranges(session, self._scan)
        return failed

    def _plan(self) -> bool:
        """Add ranges of the images that no range covers yet; return whether there were any."""
        is_new = False
        for ranges in cut_into_ranges(
            self._resources.read_sessions,
            self._scan,
            self._splits,
            range_size(self._num_total),
            before_chunk=self._step,
        ):
            is_new = True
            with self._job.transaction() as session:
                store.add_ranges(session, self._scan, ranges)
        return is_new

    def _work_until_finished(self) -> None:
        while True:
            RangeFeed(self._resources, self._scan, self._version, self._step).run()
            with self._resources.read_sessions.begin() as session:
                if not store.has_unfinished(session, self._scan):
                    return
            self._step()
            time.sleep(POLL_S)

    def _step(self) -> None:
        """Report what all processes have scored. Raises Stopped."""
        self._job.raise_if_stopped()
        now = time.monotonic()
        if now - self._reported_at < PROGRESS_EVERY_S:
            return
        self._reported_at = now
        with self._resources.read_sessions.begin() as session:
            num_left = score_store.count_unscored(session, self._version.id, self._splits)
        self._job.progress(self._stage, max(0, self._num_total - num_left), self._num_total)
