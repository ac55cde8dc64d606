"""The retrain job: mine, train, rescore, measure, promote; and again while it helps."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.orm import Session

from hardneg.schemas.stats import Figures
from hardneg.schemas.training_runs import RetrainRequest, Strategy
from service.evaluation import store as evaluation_store
from service.evaluation.figures import compare_versions, figures_of
from service.jobs.kind import JobResult
from service.jobs.resources import job_resources
from service.jobs.running import RunningJob, TransientError
from service.labelled_images import store as labelled_store
from service.model_versions import store as version_store
from service.model_versions.service import NameTaken, add_checkpoint
from service.scoring import store as score_store
from service.scoring.engine import LoadedVersion
from service.scoring.rescan import score_stored
from service.scoring.resources import Resources
from service.serving import store as serving_store
from service.serving.loading import compile_version, is_worth_compiling, load_version
from service.tables import Image, ModelVersion, TrainingRun, utc_now
from service.training_runs import store
from service.training_runs.promotion import Decision, decide, is_better
from service.training_runs.selection import choose_negatives
from service.training_runs.training import forget_state, train_run


def run_retrain(job: RunningJob) -> JobResult:
    """
    Work on a retrain job, from wherever an earlier attempt has left it.

    Each round is a row of `training_runs`, made with its frozen list before the training and
    finished with the verdict in the transaction that promotes its version.
    """
    request = RetrainRequest.model_validate(job.params)
    with job_resources(job, job.fenced) as resources:
        return _Rounds(job, request, resources).work()


class _Rounds:
    """The rounds of one job."""

    def __init__(self, job: RunningJob, request: RetrainRequest, resources: Resources) -> None:
        self._job = job
        self._request = request
        self._resources = resources

    def work(self) -> JobResult:
        with self._job.read_sessions.begin() as session:
            runs = list(store.runs_of_job(session, self._job.id))
        why_ended = "all rounds are done"
        for iteration in range(1, self._request.iterations + 1):
            if iteration > len(runs):
                begun = self._begin(iteration, runs)
                if begun is None:
                    why_ended = f"round {iteration} has no new negatives to take from the pool"
                    break
                runs.append(begun)
            run = runs[iteration - 1]
            if run.finished_at is None:
                self._work_on(run)
            if iteration < self._request.iterations and not self._is_worth_going_on(run):
                why_ended = (
                    f"round {iteration} brought neither a higher AP nor fewer false detections"
                )
                break
        self._job.log(why_ended)
        return self._result(runs, why_ended)

    def _begin(self, iteration: int, runs: Sequence[TrainingRun]) -> TrainingRun | None:
        """Freeze the next round's training list; None when it would bring nothing new."""
        start_id = self._start_id(runs)
        if start_id is not None:
            self._score_all(start_id, f"round {iteration}: scoring with the start")
        with self._job.transaction() as session:
            run = self._freeze(session, iteration, start_id)
            if run is not None:
                roles = store.count_roles(session, [run.id])[run.id]
                counts = ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))
                self._job.log_in(
                    session, f"round {iteration} trains on {counts} images", {"run_id": run.id}
                )
        return run

    def _start_id(self, runs: Sequence[TrainingRun]) -> int | None:
        if runs:
            return runs[-1].model_version_id
        return int(self._request.start_from) if self._request.start_from else None

    def _freeze(self, session: Session, iteration: int, start_id: int | None) -> TrainingRun | None:
        labelled = labelled_store.digests_in(session, "train")
        earlier = store.last_run_of_version(session, start_id) if start_id else None
        kept = store.kept_negatives(session, earlier.id) if earlier else []
        mined: list[tuple[int, str]] = []
        if start_id is not None:
            mined = choose_negatives(
                session,
                self._request,
                version_id=start_id,
                earlier_run_id=earlier.id if earlier else None,
                num_labelled=len(labelled),
                iteration=iteration,
            )
        wants_new = self._request.strategy is not Strategy.NONE
        if iteration > 1 and wants_new and not mined:
            return None
        run = TrainingRun(
            job_id=self._job.id,
            iteration=iteration,
            parent_version_id=start_id,
            params=self._request.model_dump(mode="json"),
            history=[],
        )
        lists = {"labelled": labelled, "kept": kept, "mined": mined}
        return store.add_run(
            session, run, [(*image, role) for role, images in lists.items() for image in images]
        )

    def _work_on(self, run: TrainingRun) -> None:
        if run.model_version_id is None:
            self._train(run)
        assert run.model_version_id is not None
        self._score_all(run.model_version_id, f"round {run.iteration}: scoring with the candidate")
        self._measure_and_decide(run)
        forget_state(self._job)

    def _train(self, run: TrainingRun) -> None:
        with TemporaryDirectory(prefix="hardneg-") as folder:
            path, history = train_run(self._job, run, self._request, Path(folder))
            version_id = self._add_version(path, run)
        with self._job.transaction() as session:
            run.model_version_id, run.history = version_id, history
            session.merge(run)

    def _add_version(self, path: Path, run: TrainingRun) -> int:
        name = self._request.name
        if name is not None and self._request.iterations > 1:
            name = f"{name}-{run.iteration}"
        fenced = self._job.fenced
        parent_id = run.parent_version_id
        with suppress(NameTaken):  # somebody took it during the training, which must not be lost
            version, _ = add_checkpoint(
                fenced, self._job.blobs, path, name=name, parent_id=parent_id
            )
            return version.id
        version, _ = add_checkpoint(fenced, self._job.blobs, path, parent_id=parent_id)
        return version.id

    def _score_all(self, version_id: int, stage: str) -> None:
        """Score what a version has not scored yet, of the pool and of what it is measured on."""
        job, resources = self._job, self._resources
        with job.read_sessions.begin() as session:
            num_total = score_store.count_unscored(session, version_id)
            compiles = is_worth_compiling(job.settings, session)
        if num_total == 0:
            return
        version = self._version(version_id)
        loaded = load_version(resources, version)
        if compiles:
            loaded = compile_version(resources, loaded, version)
        windows = self._unscored(loaded, stage, num_total)
        taken = score_stored(resources, loaded, windows)
        if taken.unread_splits - {"pool"}:
            raise TransientError("some of the images that a version is measured on cannot be read")

    def _unscored(
        self, version: LoadedVersion, stage: str, num_total: int
    ) -> Iterator[Sequence[Image]]:
        """Windows of images. Raises as `raise_if_stopped` does."""
        window = self._resources.scorer.window_of(version)
        after_id = num_done = 0
        while True:
            self._job.raise_if_stopped()
            self._job.progress(stage, min(num_done, num_total), num_total)
            with self._job.read_sessions.begin() as session:
                images = score_store.unscored_images(
                    session, version.id, after_id=after_id, limit=window
                )
            if not images:
                return
            yield images
            after_id, num_done = images[-1].id, num_done + len(images)

    def _version(self, version_id: int) -> ModelVersion:
        with self._job.read_sessions.begin() as session:
            version = version_store.find_version(session, version_id)
        assert version is not None
        return version

    def _measure_and_decide(self, run: TrainingRun) -> None:
        self._job.progress(f"round {run.iteration}: measuring", 0)
        assert run.model_version_id is not None
        version = self._version(run.model_version_id)
        start = self._version(run.parent_version_id) if run.parent_version_id else None
        with self._job.read_sessions.begin() as session:
            serving = serving_store.serving_version(session)
        if serving is not None and serving.id not in (version.id, run.parent_version_id):
            self._score_all(serving.id, f"round {run.iteration}: scoring with what serves")
        figures = self._measure(version, start)
        decision = self._decide(version, serving)
        with self._job.transaction() as session:
            evaluation_store.save_evaluation(session, version.id, figures.model_dump(mode="json"))
            if decision.verdict == "promoted":
                serving_store.add_activation(session, version.id)
            run.decision, run.reason = decision.verdict, decision.reason
            run.finished_at = utc_now()
            session.merge(run)
            self._job.log_in(
                session,
                f"round {run.iteration}: version '{version.name}' is {decision.verdict}: "
                f"{decision.reason}",
                {"run_id": run.id, "figures": figures.model_dump(mode="json")},
            )

    def _measure(self, version: ModelVersion, start: ModelVersion | None) -> Figures:
        with self._job.read_sessions.begin() as session:
            figures = figures_of(session, version)
            if start is not None:
                figures.comparison = compare_versions(session, version, start)
            start_figures = figures_of(session, start) if start is not None else None
            known = (
                evaluation_store.find_evaluation(session, start.id) if start is not None else None
            )
        if start is not None and start_figures is not None:
            if known is not None:
                start_figures.comparison = Figures.model_validate(known.figures).comparison
            with self._job.transaction() as session:
                evaluation_store.save_evaluation(
                    session, start.id, start_figures.model_dump(mode="json")
                )
        return figures

    def _decide(self, version: ModelVersion, serving: ModelVersion | None) -> Decision:
        comparison = None
        if serving is not None and serving.id != version.id:
            with self._job.read_sessions.begin() as session:
                comparison = compare_versions(session, version, serving)
        return decide(
            self._request.promotion,
            comparison,
            serves_any=serving is not None,
            ap_margin=self._request.ap_margin,
        )

    def _is_worth_going_on(self, run: TrainingRun) -> bool:
        """Patience 1: a round that improves neither curve is the last."""
        if run.parent_version_id is None or run.model_version_id is None:
            return True
        with self._job.read_sessions.begin() as session:
            found = [
                evaluation_store.find_evaluation(session, version_id)
                for version_id in (run.model_version_id, run.parent_version_id)
            ]
        now, before = (Figures.model_validate(row.figures) if row else None for row in found)
        return now is None or before is None or is_better(now, before)

    def _result(self, runs: Sequence[TrainingRun], why_ended: str) -> JobResult:
        return {
            "why_ended": why_ended,
            "rounds": [
                {
                    "run_id": run.id,
                    "model_version_id": run.model_version_id,
                    "decision": run.decision,
                    "verdict": run.decision,  # the old name, answered for one release
                    "reason": run.reason,
                }
                for run in runs
            ],
        }
