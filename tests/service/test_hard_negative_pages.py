"""The JSON of a page, which is written from rows, against the models that describe it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hardneg.schemas.hard_negatives import HardNegativePage
from hardneg.schemas.images import AnySplit, Verdict
from service.hard_negatives.cursor import Cursor
from service.hard_negatives.service import RankedPage
from service.hard_negatives.store import RankedImage, RankingVersion
from service.hard_negatives.views import page_json
from service.images.store import IMAGE_COLUMNS
from service.scoring.store import FoundBox, ScoredCounts

finite = st.floats(allow_nan=False, allow_infinity=False)
probabilities = st.floats(0, 1)
words = st.text(st.characters(codec="utf-8"))
ids = st.integers(1, 2**63 - 1)
moments = st.datetimes(
    min_value=datetime(1970, 1, 1),
    max_value=datetime(2200, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
columns = st.fixed_dictionaries(
    {
        "id": st.integers(1, 3),
        "sha256": words,
        "split": st.sampled_from(AnySplit),
        "source": words,
        "file_name": words,
        "media_type": words,
        "size_bytes": ids,
        "width": ids,
        "height": ids,
        "verdict": st.none() | st.sampled_from(Verdict).map(str),
        "created_at": moments,
    }
)


def ranked_image(
    values: dict[str, Any], ranking_key: float, max_score: float | None, log_odds: float | None
) -> RankedImage:
    columns = {name: values[name] for name in IMAGE_COLUMNS}  # in the order of the columns
    return RankedImage(values["id"], ranking_key, max_score, log_odds, columns)


images = st.builds(ranked_image, columns, finite, st.none() | probabilities, st.none() | finite)
boxes = st.builds(
    FoundBox,
    image_id=st.integers(1, 3),
    label=st.integers(1, 2),
    score=probabilities,
    x1=finite,
    y1=finite,
    x2=finite,
    y2=finite,
)
pages = st.builds(
    RankedPage,
    version=st.builds(
        RankingVersion, id=ids, name=words, class_names=st.lists(words, min_size=2, max_size=2)
    ),
    coverage=st.builds(ScoredCounts, images=ids, scored=ids),
    first_rank=st.integers(1, 10**9),
    images=st.lists(images, max_size=4),
    boxes=st.lists(boxes, max_size=6),
    next_cursor=st.none()
    | st.builds(Cursor, version_id=ids, ranking_key=finite, image_id=ids, rank=ids),
)


@given(page=pages)
def test_page_has_the_bytes_that_its_model_writes(page: RankedPage) -> None:
    content = page_json(page)

    model = HardNegativePage.model_validate_json(content)

    assert model.model_dump_json().encode() == content
    assert [item.image.id for item in model.items] == [image.id for image in page.images]
