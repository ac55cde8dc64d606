"""Two ways to do one thing, timed in turns."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians in seconds, and the median and the quartiles of the turns' ratios."""

    ours: float
    theirs: float
    ratio: float
    quartiles: tuple[float, float]

    def cells(self, per: int = 1) -> str:
        """For a table: milliseconds of ours and theirs, each for one of `per` images, ratio."""
        low, high = self.quartiles
        return (
            f"{1e3 * self.ours / per:.1f} | {1e3 * self.theirs / per:.1f} | "
            f"{self.ratio:.1f} ({low:.1f}-{high:.1f})"
        )


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> Timing:
    """After one call of each, both in turns; the one that goes first alternates."""
    ours(), theirs()
    pairs: list[tuple[float, float]] = []
    for repeat in range(repeats):
        if repeat % 2:
            first = seconds(ours)
            pairs.append((first, seconds(theirs)))
        else:
            first = seconds(theirs)
            pairs.append((seconds(ours), first))
    ratios = [b / a for a, b in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Timing(
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        middle,
        (low, high),
    )
