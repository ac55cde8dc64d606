import pytest

from hardneg.display.ranking import print_table
from hardneg.schemas.hard_negatives import Coverage, HardNegativePage


@pytest.mark.parametrize(
    ("scored", "text"),
    [
        (497, "v2 has scored 497 of 497 images\n"),
        (200, "v2 has scored 200 of 497 images: the ranking is provisional, 40% scanned\n"),
    ],
)
def test_ranking_of_a_pool_that_is_being_scanned_is_provisional(
    scored: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = Coverage(images=497, scored=scored)

    print_table(HardNegativePage(model_version="v2", pool=pool, items=[], next_cursor=None))

    assert capsys.readouterr().out == f"no image of the pool matches\n{text}"
