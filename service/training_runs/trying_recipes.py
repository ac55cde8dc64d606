"""The trial of recipes for one frozen list: a third of each, then all of the better two."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hardneg.schemas.recipes import RecipeFigures, RecipeTrials, TriedRecipe
from hardneg.schemas.stats import finite
from models.data.datasets import LabelledImage
from models.detectors import Detector
from models.detectors.checkpoint import save_checkpoint
from models.evaluation.around_recall import Version, count_found
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.mean_at_recalls import mean_false_detections
from models.training.loop import train
from models.training.reports import EpochReport, StepReport
from service.evaluation.figures import operating_threshold
from service.images import store as image_store
from service.tables import TrainingRun
from service.training_runs.recipes import RECIPES, best_of, worst_of
from service.training_runs.retraining import Retraining
from service.training_runs.training_inputs import (
    TrainingSets,
    detector_to_train,
    training_config,
    training_sets,
)
from service.training_runs.training_state import StoredTrainingState

DROPPED, NOT_CHOSEN, CHOSEN = "dropped", "not chosen", "chosen"


def train_best_recipe(
    retraining: Retraining, run: TrainingRun, path: Path
) -> Sequence[EpochReport]:
    """
    Try the recipes, save the checkpoint of the best at `path`, and return its epochs.

    All are trained for a third of their steps; the worst is dropped, the other two go on to the
    end. What an earlier attempt has trained or measured is not done again.

    Raises:
        Stopped: the states of all trainings are saved.
        NonFiniteLossError: a training diverged.
        ValueError: the recipes cannot be compared.
    """
    trial = _RecipeTrial(retraining, run, path.parent)
    trial.begin()
    recipes = trial.report.recipes
    for number, recipe in enumerate(recipes):
        if recipe.after_third is None:
            recipe.after_third = trial.measure(trial.train(number, pauses=True)[0])
            trial.save(f"{_name(recipe)}: {_text(recipe.after_third)} after a third of the steps")
    if all(recipe.outcome is None for recipe in recipes):
        worst = recipes[worst_of([_known(recipe.after_third) for recipe in recipes])]
        worst.outcome = DROPPED
        trial.save(f"{_name(worst)} is dropped")
    for number, recipe in enumerate(recipes):
        if recipe.outcome != DROPPED and recipe.finished is None:
            recipe.finished = trial.measure(trial.train(number)[0])
            trial.save(f"{_name(recipe)}: {_text(recipe.finished)} after all steps")
    chosen = _choose(trial.report)
    trial.save(f"{_name(recipes[chosen])} is chosen: {trial.report.reason}")
    detector, history = trial.train(chosen)  # its state is at the end: no step is taken
    save_checkpoint(detector, path)
    return history


def _choose(report: RecipeTrials) -> int:
    """Note the outcomes of the recipes that finished, and return the number of the best."""
    finished = {
        number: recipe.finished
        for number, recipe in enumerate(report.recipes)
        if recipe.finished is not None
    }
    chosen, report.reason = best_of(finished, _known(report.parent))
    for number in finished:
        report.recipes[number].outcome = CHOSEN if number == chosen else NOT_CHOSEN
    return chosen


class _RecipeTrial:
    """
    The trainings of one run.

    Attributes:
        report: what was found so far; `save` stores it with the run.
    """

    def __init__(self, retraining: Retraining, run: TrainingRun, folder: Path) -> None:
        self._retraining, self._run, self._folder = retraining, run, folder
        self.report = RecipeTrials.model_validate(run.recipes)
        parent = detector_to_train(retraining, run)
        self._sets: TrainingSets = training_sets(retraining.resources, run, parent.spec.class_names)
        self._kept = _negatives(retraining, self.report.image_ids)
        self._parent = parent

    def begin(self) -> None:
        """Measure the parent version, unless an earlier attempt has."""
        if self.report.parent is not None:
            return
        job, run = self._retraining.job, self._run
        job.progress(f"round {run.iteration}: measuring the parent version", 0)
        assert run.parent_version_id is not None
        with self._retraining.resources.read_sessions.begin() as session:
            threshold = operating_threshold(session, run.parent_version_id)
        found = self._evaluate(self._parent)
        num_objects = count_found(found.matches, threshold)
        if num_objects == 0:
            raise ValueError(
                f"recipes cannot be compared: the parent version finds no object of val at a score "
                f"of {threshold:.2f}"
            )
        self.report.num_objects = num_objects
        self.report.parent = self._figures(found)
        own_weight = self._parent.negative_weight
        self.report.recipes = [
            TriedRecipe(
                negative_share=recipe.share, negative_weight=own_weight * recipe.weight_factor
            )
            for recipe in RECIPES
        ]
        self.save(f"parent version: {_text(self.report.parent)}")

    def train(self, number: int, *, pauses: bool = False) -> tuple[Detector, Sequence[EpochReport]]:
        """
        Go on with a recipe's training to its end, or, if it `pauses`, to a third of its steps.

        Returns the detector with the weights of the best epoch so far, and all epochs. Raises
        Stopped; the state is saved.
        """
        job, run, recipe = self._retraining.job, self._run, self.report.recipes[number]
        update = {
            "negative_share": recipe.negative_share,
            "negative_weight": recipe.negative_weight,
        }
        request = self._retraining.request.model_copy(update=update)
        detector = detector_to_train(replace(self._retraining, request=request), run)
        state = StoredTrainingState(job, run.id, self._folder, part=f"recipe-{number}")
        steps = _Steps()

        def on_step(report: StepReport) -> None:
            steps.take(report)
            stage = f"round {run.iteration}: recipe {number + 1} of {len(RECIPES)}"
            job.progress(stage, report.step, report.num_steps)

        def on_epoch(report: EpochReport) -> None:
            state.save()
            epoch = f"epoch {report.epoch} of {report.num_epochs}"
            ap_text = f"AP@[.5:.95] {report.ap50_95:.3f}"
            job.log(f"round {run.iteration}, {_name(recipe)}, {epoch}: {ap_text}")

        result = train(
            detector,
            self._sets.labelled,
            self._sets.negatives,
            self._sets.val,
            training_config(request, is_fresh=False),
            on_epoch=on_epoch,
            on_step=on_step,
            should_stop=lambda: job.should_stop() or (pauses and steps.are_a_third),
            state_path=state.path,
            resume_from=state.fetch(),
        )
        if result.outcome == "cancelled":
            state.save()
            job.raise_if_stopped()
        return detector, result.history

    def measure(self, detector: Detector) -> RecipeFigures:
        """Measure a detector on val and the kept images. Raises Stopped."""
        found = self._evaluate(detector)
        self._retraining.job.raise_if_stopped()
        return self._figures(found)

    def save(self, message: str) -> None:
        """Store the report with the run, and add a line to the job's history."""
        job = self._retraining.job
        with job.transaction() as session:
            self._run.recipes = self.report.model_dump(mode="json")
            session.merge(self._run)
            job.log_in(session, f"round {self._run.iteration}: {message}")

    def _evaluate(self, detector: Detector) -> Evaluation:
        return evaluate(detector.eval(), self._sets.val, self._kept)

    def _figures(self, found: Evaluation) -> RecipeFigures:
        assert self.report.num_objects is not None
        version = Version(found.matches, found.false_detections)
        return RecipeFigures(
            mean_false_detections=finite(mean_false_detections(version, self.report.num_objects)),
            ap50_95=finite(found.average_precision.ap50_95),
        )


class _Steps:
    """The steps of a training that were taken so far."""

    def __init__(self) -> None:
        self._taken = 0
        self._total = 0

    def take(self, report: StepReport) -> None:
        self._taken, self._total = report.step, report.num_steps

    @property
    def are_a_third(self) -> bool:
        return 3 * self._taken >= self._total > 0


def _negatives(retraining: Retraining, image_ids: Sequence[int]) -> list[LabelledImage]:
    """Return the kept images that still exist."""
    with retraining.resources.read_sessions.begin() as session:
        images = image_store.find_by_ids(session, image_ids)
    blobs = retraining.resources.blobs
    return [
        LabelledImage.negative(image.sha256, partial(blobs.get, image.blob_key))
        for image in images.values()
    ]


def _known(figures: RecipeFigures | None) -> RecipeFigures:
    assert figures is not None, "measured before it is compared"
    return figures


def _name(recipe: TriedRecipe) -> str:
    return f"recipe with share {recipe.negative_share:g} and weight {recipe.negative_weight:g}"


def _text(figures: RecipeFigures) -> str:
    false = figures.mean_false_detections
    text = "too few objects found" if false is None else f"{false:.1f} false detections"
    return f"{text}, AP@[.5:.95] {figures.ap50_95 or 0:.3f}"
