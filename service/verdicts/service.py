"""The rules of one verdict for many images."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy.orm import Session

from hardneg.schemas.images import Verdict
from hardneg.schemas.verdicts import JudgedItem, VerdictReport, VerdictRequest, VerdictResult
from service.audit.store import record
from service.errors import ServiceError, problem_of
from service.families import service as family_service
from service.families import store as family_store
from service.images import store as image_store
from service.images.errors import ImageNotFound, UnexpectedVerdict
from service.images.judging import judged_json, set_verdict
from service.tables import BoxJudgement, Image


def judge_images(session: Session, request: VerdictRequest) -> VerdictReport:
    """
    Judge the images of a request that have the expected verdicts.

    Raises FamilyNotFound; problems of single images are in the report.
    """
    image_ids = _image_ids(session, request)
    images = image_store.lock_images(session, image_ids)
    judged = image_store.box_judgements_of(session, image_ids)
    items = [
        _judge(session, request, image_id, images.get(image_id), judged.get(image_id, ()))
        for image_id in image_ids
    ]
    counts = Counter(item.result for item in items)
    return VerdictReport(
        num_changed=counts[VerdictResult.CHANGED],
        num_unchanged=counts[VerdictResult.UNCHANGED],
        num_conflicts=counts[VerdictResult.CONFLICT],
        num_refused=counts[VerdictResult.REFUSED],
        items=items,
    )


def _image_ids(session: Session, request: VerdictRequest) -> list[int]:
    """Return each image once."""
    if request.image_ids is not None:
        return list(dict.fromkeys(request.image_ids))
    assert request.family_id is not None
    family_service.get_family(session, request.family_id)
    return family_store.image_ids_of(session, request.family_id)


def _judge(
    session: Session,
    request: VerdictRequest,
    image_id: int,
    image: Image | None,
    judged: Sequence[BoxJudgement],
) -> JudgedItem:
    """Judge one image, or say why it stays as it is."""
    if image is None:
        return _item(image_id, VerdictResult.REFUSED, None, None, ImageNotFound(image_id))
    before = None if image.verdict is None else Verdict(image.verdict)
    if before == request.verdict:
        return _item(image_id, VerdictResult.UNCHANGED, before, before)
    expected = request.expected.get(image_id)
    if before != expected and not request.overwrite:
        error = UnexpectedVerdict(image.id, before, expected)
        return _item(image_id, VerdictResult.CONFLICT, before, before, error)
    recorded = judged_json(before, judged)
    try:
        set_verdict(image, judged, request.verdict)
    except ServiceError as error:
        return _item(image_id, VerdictResult.REFUSED, before, before, error)
    after = judged_json(request.verdict, judged)
    record(session, "judge-image", f"image {image_id}", before=recorded, after=after)
    return _item(image_id, VerdictResult.CHANGED, before, request.verdict)


def _item(
    image_id: int,
    result: VerdictResult,
    before: Verdict | None,
    verdict: Verdict | None,
    error: ServiceError | None = None,
) -> JudgedItem:
    return JudgedItem(
        image_id=image_id,
        result=result,
        verdict_before=before,
        verdict=verdict,
        problem=None if error is None else problem_of(error),
    )
