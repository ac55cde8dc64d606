"""SQL for tests for true objects: the images to test, and the decisions on them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from hardneg.schemas.images import Verdict
from service.db import insert_rows, is_one_of
from service.regions.computing import BoxedImage
from service.tables import (
    BoxJudgement,
    Detection,
    HoldDecision,
    HoldTest,
    Image,
    ImageScore,
    LabelledBox,
)

TOP_DETECTIONS = 3  # of an image that are tested, by score


def labelled_images(session: Session, limit: int) -> list[BoxedImage]:
    """Return images of train with their boxes; of more than `limit`, always the same ones."""
    chosen = (
        select(Image.id)
        .where(Image.split == "train", Image.id.in_(select(LabelledBox.image_id)))
        .order_by(Image.sha256)  # as good as a random order
        .limit(limit)
    )
    rows = session.execute(
        select(
            Image.id,
            Image.blob_key,
            LabelledBox.x1,
            LabelledBox.y1,
            LabelledBox.x2,
            LabelledBox.y2,
        )
        .join(LabelledBox, LabelledBox.image_id == Image.id)
        .where(Image.id.in_(chosen))
        .order_by(Image.id, LabelledBox.position)
    ).all()
    return _boxed([(row[0], row[1], row[2:]) for row in rows])


def confirmed_images(session: Session, version_id: int, limit: int) -> list[BoxedImage]:
    """
    Return images of the pool with objects that a person has confirmed.

    The objects are the boxes that were judged to be one. Where there are none, the object of an
    image is taken to be where the version is surest.
    """
    judged = _judged_images(session, limit, is_object=True)
    others = session.scalars(
        _ranked(version_id, "pool", Image.verdict == Verdict.CONTAINS_OBJECT).limit(limit)
    ).all()
    seen = {image.id for image in judged}
    detected = detected_images(session, version_id, [id_ for id_ in others if id_ not in seen])
    return judged + [_with_best_box(image) for image in detected]


def refuted_images(session: Session, version_id: int, limit: int) -> list[BoxedImage]:
    """Return images of the pool with boxes, or a version's best detection, that are no objects."""
    judged = _judged_images(session, limit, is_object=False)
    others = session.scalars(
        _ranked(version_id, "pool", Image.verdict == Verdict.NEGATIVE).limit(limit)
    ).all()
    detected = detected_images(session, version_id, others)
    return judged + [_with_best_box(image) for image in detected]


def _judged_images(session: Session, limit: int, *, is_object: bool) -> list[BoxedImage]:
    rows = session.execute(
        select(
            Image.id,
            Image.blob_key,
            BoxJudgement.x1,
            BoxJudgement.y1,
            BoxJudgement.x2,
            BoxJudgement.y2,
        )
        .join(BoxJudgement, BoxJudgement.image_id == Image.id)
        .where(Image.split == "pool", BoxJudgement.is_object.is_(is_object))
        .order_by(Image.id, BoxJudgement.position)
        .limit(limit)
    ).all()
    return _boxed([(row[0], row[1], row[2:]) for row in rows])


def ranked_ids(session: Session, version_id: int, limit: int) -> list[int]:
    """Return a version's worst images of the pool that have a detection and wait for a verdict."""
    return list(session.scalars(_ranked(version_id, "pool", is_unjudged()).limit(limit)))


def sealed_ids(session: Session, version_id: int, limit: int) -> list[int]:
    """Return a version's worst sealed images that have a detection and wait for a verdict."""
    return list(session.scalars(_ranked(version_id, "negative-test", is_unjudged()).limit(limit)))


def _ranked(version_id: int, split: str, condition: ColumnElement[bool]) -> Select[int]:
    """Select images of a split that have a detection, worst first."""
    has_detection = exists().where(
        Detection.image_id == ImageScore.image_id,
        Detection.model_version_id == version_id,
        Detection.position == 0,
    )
    return (
        select(ImageScore.image_id)
        .join(Image, Image.id == ImageScore.image_id)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == split,
            ImageScore.ranking_key.is_not(None),
            has_detection,
            condition,
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
    )


def is_unjudged() -> ColumnElement[bool]:
    """Select the images on which no person has decided."""
    return or_(Image.verdict.is_(None), Image.verdict == Verdict.UNSURE)


def unjudged_images(
    session: Session, version_id: int, image_ids: Sequence[int]
) -> list[BoxedImage]:
    """Return those of some images that wait for a verdict, like `detected_images`."""
    waiting = set(
        session.scalars(
            select(Image.id).where(is_one_of(session, Image.id, image_ids), is_unjudged())
        )
    )
    return detected_images(session, version_id, [id_ for id_ in image_ids if id_ in waiting])


def detected_images(
    session: Session, version_id: int, image_ids: Sequence[int]
) -> list[BoxedImage]:
    """Return images with a version's best detections on them, in the order of the ids."""
    rows = session.execute(
        select(Image.id, Image.blob_key, Detection.x1, Detection.y1, Detection.x2, Detection.y2)
        .join(Detection, Detection.image_id == Image.id)
        .where(
            is_one_of(session, Image.id, image_ids),
            Detection.model_version_id == version_id,
            Detection.position < TOP_DETECTIONS,
        )
        .order_by(Image.id, Detection.position)
    ).all()
    found = {image.id: image for image in _boxed([(row[0], row[1], row[2:]) for row in rows])}
    return [found[image_id] for image_id in image_ids if image_id in found]


class Decided(NamedTuple):
    """The decision on one image, and the detection that looks most like an object."""

    image_id: int
    decision: float
    position: int


def save_test(session: Session, test: HoldTest, decided: Sequence[Decided]) -> None:
    """Save a test with its decisions, in place of the version's last one."""
    version_id = test.model_version_id
    session.execute(delete(HoldDecision).where(HoldDecision.model_version_id == version_id))
    session.merge(test)
    images = session.execute(
        select(Image.id, Image.split)
        .where(is_one_of(session, Image.id, [image.image_id for image in decided]))
        .order_by(Image.id)
        .with_for_update(read=True, key_share=True)  # no one deletes them before the commit
    )
    splits = {row[0]: row[1] for row in images}
    rows: list[dict[str, object]] = [
        {"model_version_id": version_id, "split": splits[image.image_id], **image._asdict()}
        for image in decided
        if image.image_id in splits
    ]
    insert_rows(session, HoldDecision, rows, overwrite=("decision", "position"))


def decisions_in(session: Session, version_id: int, split: str) -> list[Decided]:
    """Return the decisions of the version's last test on images that wait for a verdict."""
    rows = session.execute(
        select(HoldDecision.image_id, HoldDecision.decision, HoldDecision.position)
        .join(Image, Image.id == HoldDecision.image_id)
        .where(
            HoldDecision.model_version_id == version_id,
            HoldDecision.split == split,
            is_unjudged(),
        )
    )
    return [Decided(*row) for row in rows]


def find_test(session: Session, version_id: int) -> HoldTest | None:
    return session.get(HoldTest, version_id)


def is_held() -> ColumnElement[bool]:
    """Select the images whose decision says object, and that wait for a person's word."""
    return and_(HoldDecision.decision > 0, is_unjudged())


class TestedCounts(NamedTuple):
    """The images of a split that were tested, and those of them that are held."""

    tested: int
    held: int


def count_tested(session: Session, version_id: int) -> dict[str, TestedCounts]:
    """Return the counts of the version's last test, by split."""
    rows = session.execute(
        select(HoldDecision.split, func.count(), func.sum(case((is_held(), 1), else_=0)))
        .join(Image, Image.id == HoldDecision.image_id)
        .where(HoldDecision.model_version_id == version_id)
        .group_by(HoldDecision.split)
    )
    found = {split: TestedCounts(tested, int(held)) for split, tested, held in rows}
    return defaultdict(lambda: TestedCounts(0, 0), found)


def held_images(
    session: Session, version_id: int, split: str, limit: int, offset: int = 0
) -> list[tuple[HoldDecision, Image, Detection | None]]:
    """Return held images of a split, the most object-like first, with the detection meant."""
    rows = session.execute(
        select(HoldDecision, Image, Detection)
        .join(Image, Image.id == HoldDecision.image_id)
        .outerjoin(
            Detection,
            and_(
                Detection.image_id == HoldDecision.image_id,
                Detection.model_version_id == HoldDecision.model_version_id,
                Detection.position == HoldDecision.position,
            ),
        )
        .where(HoldDecision.model_version_id == version_id, HoldDecision.split == split, is_held())
        .order_by(HoldDecision.decision.desc(), HoldDecision.image_id)
        .offset(offset)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _boxed(
    rows: Sequence[tuple[int, str, tuple[float, float, float, float]]],
) -> list[BoxedImage]:
    """Gather rows of one box each into one item for each image, in the order of the rows."""
    keys: dict[int, str] = {}
    boxes: dict[int, list[tuple[float, float, float, float]]] = defaultdict(list)
    for image_id, blob_key, box in rows:
        keys[image_id] = blob_key
        boxes[image_id].append(box)
    return [BoxedImage(image_id, key, tuple(boxes[image_id])) for image_id, key in keys.items()]


def _with_best_box(image: BoxedImage) -> BoxedImage:
    return BoxedImage(image.id, image.blob_key, image.boxes[:1])
