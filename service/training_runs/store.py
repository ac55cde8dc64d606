"""SQL for training runs and their frozen lists."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, select, true
from sqlalchemy.orm import Session, aliased

from hardneg.schemas.images import Verdict
from service.db import is_one_of
from service.images.store import is_negative
from service.tables import (
    BoxJudgement,
    Image,
    ImageScore,
    ModelVersion,
    TrainingRun,
    TrainingRunImage,
)

NEGATIVE_ROLES = ("kept", "mined")

ImagesByRole = Mapping[str, Sequence[tuple[int, str]]]  # image ids and digests


class FrozenBoxes(NamedTuple):
    """Boxes of a negative that holds an object: xyxy in pixels of the upright image."""

    ignored: list[list[float]] | None = None
    background: list[list[float]] | None = None


NO_BOXES = FrozenBoxes()


def add_run(
    session: Session,
    run: TrainingRun,
    images: ImagesByRole,
    boxes: Mapping[int, FrozenBoxes] | None = None,
) -> None:
    """Add a run with its frozen training list, and the boxes of images that hold an object."""
    boxes = boxes or {}
    session.add(run)
    session.flush()
    session.add_all(
        TrainingRunImage(
            run_id=run.id,
            image_id=image_id,
            sha256=digest,
            role=role,
            ignored_boxes=boxes.get(image_id, NO_BOXES).ignored,
            background_boxes=boxes.get(image_id, NO_BOXES).background,
        )
        for role, lines in images.items()
        for image_id, digest in lines
    )


def find_run(session: Session, run_id: int, *, locked: bool = False) -> TrainingRun | None:
    return session.get(TrainingRun, run_id, with_for_update=locked)


def runs_of_job(session: Session, job_id: int) -> Sequence[TrainingRun]:
    """Return the runs of a job, first round first."""
    return session.scalars(
        select(TrainingRun).where(TrainingRun.job_id == job_id).order_by(TrainingRun.iteration)
    ).all()


def last_run_of_version(session: Session, version_id: int) -> TrainingRun | None:
    """Return the newest run that a version came from; equal checkpoints are one version."""
    return session.scalars(
        select(TrainingRun)
        .where(TrainingRun.model_version_id == version_id)
        .order_by(TrainingRun.id.desc())
        .limit(1)
    ).one_or_none()


def list_runs(
    session: Session,
    *,
    job_id: int | None,
    version_id: int | None,
    before_id: int | None,
    limit: int,
) -> Sequence[TrainingRun]:
    """Return runs, newest first."""
    statement = select(TrainingRun).order_by(TrainingRun.id.desc()).limit(limit)
    if job_id is not None:
        statement = statement.where(TrainingRun.job_id == job_id)
    if version_id is not None:
        statement = statement.where(TrainingRun.model_version_id == version_id)
    if before_id is not None:
        statement = statement.where(TrainingRun.id < before_id)
    return session.scalars(statement).all()


def open_runs(session: Session, limit: int) -> Sequence[TrainingRun]:
    """Return the newest lists that are frozen for a training elsewhere and have no result yet."""
    return session.scalars(
        select(TrainingRun)
        .where(TrainingRun.job_id.is_(None), TrainingRun.model_version_id.is_(None))
        .order_by(TrainingRun.id.desc())
        .limit(limit)
    ).all()


def count_roles(session: Session, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Count the images of each role in each run."""
    rows = session.execute(
        select(TrainingRunImage.run_id, TrainingRunImage.role, func.count())
        .where(TrainingRunImage.run_id.in_(run_ids))
        .group_by(TrainingRunImage.run_id, TrainingRunImage.role)
    )
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for run_id, role, count in rows:
        counts[run_id][role] = count
    return counts


def list_run_images(
    session: Session, run_id: int, *, after_id: int, limit: int
) -> Sequence[TrainingRunImage]:
    """Return a page of a run's list, in order of image id."""
    return session.scalars(
        select(TrainingRunImage)
        .where(TrainingRunImage.run_id == run_id, TrainingRunImage.image_id > after_id)
        .order_by(TrainingRunImage.image_id)
        .limit(limit)
    ).all()


def frozen_images(session: Session, run_id: int) -> list[tuple[TrainingRunImage, Image | None]]:
    """Return a run's whole list in order of image id; None for an image that was deleted since."""
    rows = session.execute(
        select(TrainingRunImage, Image)
        .outerjoin(Image, Image.id == TrainingRunImage.image_id)
        .where(TrainingRunImage.run_id == run_id)
        .order_by(TrainingRunImage.image_id)
    )
    return [(row[0], row[1]) for row in rows]


def frozen_page(
    session: Session,
    run_id: int,
    *,
    roles: Sequence[str] | None,
    after_id: int,
    limit: int,
) -> list[tuple[TrainingRunImage, Image]]:
    """Return a page of the images of a run's list that still exist, in order of id."""
    statement = (
        select(TrainingRunImage, Image)
        .join(Image, Image.id == TrainingRunImage.image_id)
        .where(TrainingRunImage.run_id == run_id, TrainingRunImage.image_id > after_id)
        .order_by(TrainingRunImage.image_id)
        .limit(limit)
    )
    if roles is not None:
        statement = statement.where(TrainingRunImage.role.in_(roles))
    return [(row[0], row[1]) for row in session.execute(statement)]


def count_labelled(session: Session) -> int:
    """Return the number of images of train."""
    return session.scalars(select(func.count()).where(Image.split == "train")).one()


def kept_negatives(session: Session, run_id: int) -> list[tuple[int, str]]:
    """Return the negatives of a run that still exist and that nobody has judged otherwise."""
    rows = session.execute(
        select(Image.id, Image.sha256)
        .join(TrainingRunImage, TrainingRunImage.image_id == Image.id)
        .where(
            TrainingRunImage.run_id == run_id,
            TrainingRunImage.role.in_(NEGATIVE_ROLES),
            is_negative(),
        )
        .order_by(Image.id)
    )
    return [(row[0], row[1]) for row in rows]


def partial_negatives(
    session: Session,
    version_id: int,
    run_id: int | None,
    *,
    used: bool,
    condition: ColumnElement[bool] | None = None,
) -> list[tuple[int, str]]:
    """
    Return the pool's images that hold an object, and a box that is judged to hold none.

    Only those that the version has scored: without its detections nobody knows where else an
    object may be. With `used` they are the negatives of the run, else all others that meet the
    condition.
    """
    in_run = exists().where(
        TrainingRunImage.run_id == run_id,
        TrainingRunImage.image_id == Image.id,
        TrainingRunImage.role.in_(NEGATIVE_ROLES),
    )
    rows = session.execute(
        select(Image.id, Image.sha256)
        .join(ImageScore, ImageScore.image_id == Image.id)
        .where(
            Image.split == "pool",
            ImageScore.model_version_id == version_id,
            ImageScore.ranking_key.is_not(None),
            _is_partial_negative(),
            in_run if used else and_(~in_run, true() if condition is None else condition),
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
    )
    return [(row[0], row[1]) for row in rows]


def judged_boxes_of_partial_negatives(
    session: Session, image_ids: Sequence[int]
) -> dict[int, list[BoxJudgement]]:
    """Return the judged boxes of those images that hold an object and a box without one."""
    rows = session.scalars(
        select(BoxJudgement)
        .join(Image, Image.id == BoxJudgement.image_id)
        .where(is_one_of(session, Image.id, image_ids), _is_partial_negative())
        .order_by(BoxJudgement.image_id, BoxJudgement.position)
    )
    judged: dict[int, list[BoxJudgement]] = defaultdict(list)
    for row in rows:
        judged[row.image_id].append(row)
    return judged


def _is_partial_negative() -> ColumnElement[bool]:
    judged = aliased(BoxJudgement)
    return and_(
        Image.verdict == Verdict.CONTAINS_OBJECT,
        exists().where(judged.image_id == Image.id, ~judged.is_object),
    )


def hardest_unused(
    session: Session,
    version_id: int,
    run_id: int | None,
    limit: int,
    condition: ColumnElement[bool],
) -> list[tuple[int, str]]:
    """
    Return the pool's images that a run has not used and that meet a condition.

    They come worst first by a version's scores.
    """
    rows = session.execute(
        select(Image.id, Image.sha256)
        .join(ImageScore, ImageScore.image_id == Image.id)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == "pool",
            ImageScore.ranking_key.is_not(None),
            is_negative(),
            condition,
            *_is_unused(run_id),
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def unused(
    session: Session, run_id: int | None, condition: ColumnElement[bool]
) -> list[tuple[int, str]]:
    """Return the pool's images that a run has not used and that meet a condition, by id."""
    rows = session.execute(
        select(Image.id, Image.sha256)
        .where(Image.split == "pool", is_negative(), condition, *_is_unused(run_id))
        .order_by(Image.id)
    )
    return [(row[0], row[1]) for row in rows]


def runs_behind(session: Session, version_id: int) -> Sequence[int]:
    """Return the ids of the runs that a version and its ancestors came from."""
    line = (
        select(ModelVersion.id, ModelVersion.parent_id)
        .where(ModelVersion.id == version_id)
        .cte("line", recursive=True)
    )
    parents = select(ModelVersion.id, ModelVersion.parent_id)
    line = line.union(parents.join(line, ModelVersion.id == line.c.parent_id))
    return session.scalars(
        select(TrainingRun.id).where(TrainingRun.model_version_id.in_(select(line.c.id)))
    ).all()


def trained_images(session: Session, version_id: int, image_ids: Sequence[int]) -> set[int]:
    """Return those images that a version or one of its ancestors was trained on."""
    statement = select(TrainingRunImage.image_id).where(
        TrainingRunImage.run_id.in_(runs_behind(session, version_id)),
        is_one_of(session, TrainingRunImage.image_id, image_ids),
    )
    return set(session.scalars(statement))


def _is_unused(run_id: int | None) -> list[ColumnElement[bool]]:
    if run_id is None:
        return []
    return [
        ~exists().where(TrainingRunImage.run_id == run_id, TrainingRunImage.image_id == Image.id)
    ]
