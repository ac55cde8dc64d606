"""SQL for training runs and their frozen lists."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from service.images.store import is_negative
from service.tables import (
    Image,
    ImageScore,
    ModelVersion,
    TrainingRun,
    TrainingRunImage,
)

NEGATIVE_ROLES = ("kept", "mined")

ImagesByRole = Mapping[str, Sequence[tuple[int, str]]]  # image ids and digests


def add_run(session: Session, run: TrainingRun, images: ImagesByRole) -> None:
    """Add a run with its frozen training list."""
    session.add(run)
    session.flush()
    session.add_all(
        TrainingRunImage(run_id=run.id, image_id=image_id, sha256=digest, role=role)
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


def hardest_unused(
    session: Session, version_id: int, run_id: int | None, limit: int
) -> list[tuple[int, str]]:
    """Return the pool's images that a run has not used, worst first by a version's scores."""
    rows = session.execute(
        select(Image.id, Image.sha256)
        .join(ImageScore, ImageScore.image_id == Image.id)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == "pool",
            ImageScore.ranking_key.is_not(None),
            is_negative(),
            *_is_unused(run_id),
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


def unused(session: Session, run_id: int | None) -> list[tuple[int, str]]:
    """Return the pool's images that a run has not used, in order of id."""
    rows = session.execute(
        select(Image.id, Image.sha256)
        .where(Image.split == "pool", is_negative(), *_is_unused(run_id))
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


def _is_unused(run_id: int | None) -> list[ColumnElement[bool]]:
    if run_id is None:
        return []
    return [
        ~exists().where(TrainingRunImage.run_id == run_id, TrainingRunImage.image_id == Image.id)
    ]
