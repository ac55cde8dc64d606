"""The recipes that `recipe: auto` tries, and the rules by which one of them is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from hardneg.schemas.recipes import RecipeFigures

MAX_AP_FALL = 0.02


@dataclass(frozen=True, slots=True)
class NegativesRecipe:
    """
    How much a training makes of negatives.

    Attributes:
        share: of every batch.
        weight_factor: on the detector family's own weight of background anchors, which is 3 for
            SSDs.
    """

    share: float
    weight_factor: float


RECIPES = (NegativesRecipe(0.3, 1), NegativesRecipe(0.25, 5 / 3), NegativesRecipe(0.4, 3))
STEPS_OF_A_TRIAL = 7 / 3  # over those of one training: three times a third, twice two thirds


def worst_of(figures: Sequence[RecipeFigures]) -> int:
    """Return the position with the most false detections; of equals, that with the lowest AP."""
    return max(range(len(figures)), key=lambda k: (_false(figures[k]), -_ap(figures[k])))


def best_of(figures: Mapping[int, RecipeFigures], parent: RecipeFigures) -> tuple[int, str]:
    """
    Return the number of the best recipe, and why it is.

    It has the fewest false detections of those that lose at most `MAX_AP_FALL` of AP against the
    parent version. If none does, the one with the highest AP is best, and promotion decides.
    """
    lowest_ap = _ap(parent) - MAX_AP_FALL
    able = [number for number, found in figures.items() if _ap(found) >= lowest_ap]
    if not able:
        return (
            max(figures, key=lambda number: _ap(figures[number])),
            f"AP fell by more than {MAX_AP_FALL} with all, least with this one",
        )
    best = min(able, key=lambda number: (_false(figures[number]), -_ap(figures[number])))
    among = "" if len(able) == len(figures) else f" of those that lose at most {MAX_AP_FALL} of AP"
    return best, f"fewest false detections{among}"


def _false(figures: RecipeFigures) -> float:
    return inf if figures.mean_false_detections is None else figures.mean_false_detections


def _ap(figures: RecipeFigures) -> float:
    return -inf if figures.ap50_95 is None else figures.ap50_95
