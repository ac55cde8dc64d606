"""A person's verdicts on an image and on boxes in it."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from hardneg.schemas.images import AnySplit, JudgedBox, Judgement, Verdict
from service.audit.store import record
from service.images import store
from service.images.errors import (
    ContradictoryVerdict,
    ImageIsLabelled,
    InvalidBox,
    UnexpectedVerdict,
)
from service.images.service import get_image
from service.tables import BoxJudgement, Image


def judge_image(
    session: Session, image_id: int, judgement: Judgement
) -> tuple[Image, Sequence[BoxJudgement]]:
    """
    Set the verdicts on an unlabelled image, and return them.

    Raises:
        ImageNotFound: No image has this id.
        ImageIsLabelled: The image is in train or val, where its boxes are its labels.
        UnexpectedVerdict: The image has another verdict than the one expected.
        InvalidBox: A box has no area, lies outside the image, or is an object without a class.
        ContradictoryVerdict: A box is judged to hold an object, and the image none.
    """
    image = get_image(session, image_id, lock=True)
    if image.split in (AnySplit.TRAIN, AnySplit.VAL):
        raise ImageIsLabelled(image_id, image.split)
    if "expected" in judgement.model_fields_set and image.verdict != judgement.expected:
        raise UnexpectedVerdict(image_id, image.verdict, judgement.expected)
    before = judged_json(image.verdict, store.box_judgements(session, image_id))
    if judgement.boxes is not None:
        rows = [_box_row(image, position, box) for position, box in enumerate(judgement.boxes)]
        store.replace_box_judgements(session, image_id, rows)
    judged = store.box_judgements(session, image_id)
    set_verdict(image, judged, judgement.verdict)
    after = judged_json(image.verdict, judged)
    record(session, "judge-image", f"image {image_id}", before=before, after=after)
    return image, judged


def set_verdict(image: Image, judged: Sequence[BoxJudgement], verdict: Verdict | None) -> None:
    """
    Set the verdict on an image, given those on its boxes.

    Raises ImageIsLabelled, ContradictoryVerdict.
    """
    if image.split in (AnySplit.TRAIN, AnySplit.VAL):
        raise ImageIsLabelled(image.id, image.split)
    if verdict is not Verdict.CONTAINS_OBJECT and any(box.is_object for box in judged):
        raise ContradictoryVerdict(image.id, verdict)
    image.verdict = verdict


def judged_json(verdict: str | None, boxes: Sequence[BoxJudgement]) -> dict[str, object]:
    """Return the verdicts on an image and its boxes, for the audit."""
    return {
        "verdict": verdict,
        "boxes": [
            {
                "is_object": box.is_object,
                "label": box.class_name,
                "box": [box.x1, box.y1, box.x2, box.y2],
            }
            for box in boxes
        ],
    }


def _box_row(image: Image, position: int, judged: JudgedBox) -> BoxJudgement:
    """Return a judged box as a row, cut to the image. Raises InvalidBox."""
    x1, x2 = (min(max(x, 0.0), image.width) for x in (judged.box.x1, judged.box.x2))
    y1, y2 = (min(max(y, 0.0), image.height) for y in (judged.box.y1, judged.box.y2))
    if x1 >= x2 or y1 >= y2:
        raise InvalidBox(
            position, f"it has no area within the image of {image.width} × {image.height} pixels"
        )
    if judged.is_object and judged.label is None:
        raise InvalidBox(position, "it is judged to hold an object, so it needs a label")
    return BoxJudgement(
        image_id=image.id,
        position=position,
        is_object=judged.is_object,
        class_name=judged.label,
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
    )
