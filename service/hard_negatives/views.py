"""A page of the ranked list as clients see it."""

from collections import defaultdict

import orjson

from service.hard_negatives.service import RankedPage
from service.hard_negatives.store import FoundBox, RankedImage
from service.images.views import image_path


def page_json(page: RankedPage) -> bytes:
    """
    The JSON of a `HardNegativePage`, byte for byte.

    Written from the rows: to make and check models of them takes longer than to read them.
    """
    boxes: dict[int, list[object]] = defaultdict(list)
    for box in page.boxes:
        boxes[box.image_id].append(_detection(box, page.version.class_names))
    return orjson.dumps(
        {
            "model_version": page.version.name,
            "pool": page.coverage._asdict(),
            "items": [
                {
                    "rank": rank,
                    "max_score": image.max_score,
                    "log_odds": image.log_odds,
                    "detections": boxes[image.id],
                    "image": _image(image),
                }
                for rank, image in enumerate(page.images, page.first_rank)
            ],
            "next_cursor": page.next_cursor.encode() if page.next_cursor else None,
        },
        option=orjson.OPT_UTC_Z,
    )


def _detection(box: FoundBox, class_names: list[str]) -> dict[str, object]:
    return {
        "label": class_names[box.label - 1],
        "score": box.score,
        "box": {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2},
    }


def _image(image: RankedImage) -> dict[str, object]:
    path = image_path(image.id)
    return {
        "id": image.id,
        "sha256": image.sha256,
        "split": image.split,
        "source": image.source,
        "file_name": image.file_name,
        "media_type": image.media_type,
        "size_bytes": image.size_bytes,
        "width": image.width,
        "height": image.height,
        "verdict": image.verdict,
        "created_at": image.created_at,
        "links": {"self": path, "content": f"{path}/content", "thumbnail": f"{path}/thumbnail"},
    }
