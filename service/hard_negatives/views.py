"""A page of the ranked list as clients see it."""

from collections import defaultdict

import orjson

from service.hard_negatives.decisions import HoldDecided
from service.hard_negatives.service import RankedPage
from service.images.views import image_json
from service.scoring.store import FoundBox


def page_json(page: RankedPage) -> bytes:
    """
    Write the JSON of a `HardNegativePage`, byte for byte, from the rows.

    To build and validate models would take longer than to read the rows.
    """
    boxes: dict[int, list[object]] = defaultdict(list)
    for box in page.boxes:
        boxes[box.image_id].append(_detection(box, page.version.class_names))
    decisions = {decision.image_id: decision for decision in page.decisions}
    return orjson.dumps(
        {
            "model_version": page.version.name,
            "pool": page.coverage._asdict(),
            "hold_test": page.hold_test._asdict() if page.hold_test else None,
            "items": [
                {
                    "rank": rank,
                    "max_score": image.max_score,
                    "log_odds": image.log_odds,
                    **_hold(decisions.get(image.id)),
                    "duplicates": _duplicates(image.id, page.num_duplicates.get(image.id)),
                    "detections": boxes[image.id],
                    "image": image_json(image.columns),
                }
                for rank, image in enumerate(page.images, page.first_rank)
            ],
            "next_cursor": page.next_cursor.encode() if page.next_cursor else None,
        },
        option=orjson.OPT_UTC_Z,
    )


def _duplicates(image_id: int, count: int | None) -> dict[str, object] | None:
    if not count:
        return None
    return {"count": count, "link": f"/images/{image_id}/duplicates"}


def _hold(decision: HoldDecided | None) -> dict[str, object]:
    if decision is None:
        return {"held": None, "hold_decision": None}
    return {"held": decision.is_held, "hold_decision": decision.decision}


def _detection(box: FoundBox, class_names: list[str]) -> dict[str, object]:
    return {
        "label": class_names[box.label - 1],
        "score": box.score,
        "box": {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2},
    }
