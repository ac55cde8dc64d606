"""The images mined into a run, as its parent version and its own version score them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from hardneg.schemas.firing import ComparedScore
from hardneg.schemas.images import DetectionOut
from hardneg.schemas.training_runs import MinedImage, MinedPage
from service.images.views import detections_by_image, image_out
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.tables import Image, ImageScore, TrainingRun, TrainingRunImage
from service.training_runs.service import get_run

ScoresAndBoxes = tuple[Mapping[int, ImageScore], Mapping[int, list[DetectionOut]]]


def list_mined(session: Session, run_id: int, *, offset: int, limit: int) -> MinedPage:
    """Return a page of a run's new negatives, hardest first. Raises TrainingRunNotFound."""
    run = get_run(session, run_id)
    images = _mined_images(session, run, offset=offset, limit=limit + 1)
    shown = images[:limit]
    image_ids = [image.id for image in shown]
    before = _scores(session, run.parent_version_id, image_ids)
    now = _scores(session, run.model_version_id, image_ids)
    return MinedPage(
        items=[
            MinedImage(
                before=_compared(before, image.id),
                now=_compared(now, image.id),
                image=image_out(image),
            )
            for image in shown
        ],
        next_offset=offset + limit if len(images) > limit else None,
    )


def _mined_images(
    session: Session, run: TrainingRun, *, offset: int, limit: int
) -> Sequence[Image]:
    """Return the images that still exist, in the order of the parent version's ranking."""
    return session.scalars(
        select(Image)
        .join(TrainingRunImage, TrainingRunImage.image_id == Image.id)
        .outerjoin(
            ImageScore,
            and_(
                ImageScore.image_id == Image.id,
                ImageScore.model_version_id == run.parent_version_id,
            ),
        )
        .where(TrainingRunImage.run_id == run.id, TrainingRunImage.role == "mined")
        .order_by(ImageScore.ranking_key.is_(None), ImageScore.ranking_key, Image.id)
        .offset(offset)
        .limit(limit)
    ).all()


def _scores(session: Session, version_id: int | None, image_ids: Sequence[int]) -> ScoresAndBoxes:
    version = None if version_id is None else version_store.find_version(session, version_id)
    if version is None:
        return {}, {}
    found = score_store.boxes_on(session, version.id, image_ids)
    scores = score_store.find_scores(session, version.id, image_ids)
    return scores, detections_by_image(found, version.class_names)


def _compared(by_version: ScoresAndBoxes, image_id: int) -> ComparedScore:
    scores, detections = by_version
    score = scores.get(image_id)
    return ComparedScore(
        max_score=score.max_score if score else None, detections=detections.get(image_id, [])
    )
