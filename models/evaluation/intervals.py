"""95 % intervals: Wilson's for shares, the bootstrap over images for everything else."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution
NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def wilson(successes: int, trials: int) -> Interval:
    """
    Return `successes / trials` with its score interval, which is sensible at 0 and 1, too.

    Raises:
        ValueError: No trials, or successes outside 0..trials.

    Source:
        E. B. Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes=} must lie in 0..{trials=}, and trials be positive")
    share = successes / trials
    spread = Z_95**2 / trials
    middle = share + spread / 2
    half = Z_95 * np.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    # Rounding must not exclude 0 or 1 if no trial, or every one, succeeded.
    return Interval(share, 0.0 if successes == 0 else low, 1.0 if successes == trials else high)


def resample_counts(num_images: int, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> IntArray:
    """
    Draw bootstrap resamples: how often each image is in each of them.

    Returns:
        int64 [R, I]; every row sums to I. Equal arguments give equal draws.

    Raises:
        ValueError: No images.
    """
    if num_images < 1:
        raise ValueError("a bootstrap needs at least one image")
    generator = np.random.default_rng(seed)
    shares = np.full(num_images, 1 / num_images)
    return generator.multinomial(num_images, shares, size=num_resamples)


def percentile_interval(value: float, resampled: FloatArray) -> Interval:
    """
    Return `value` between the 2.5 % and 97.5 % quantiles of its resampled values.

    NaN values are left out; if all are NaN (nothing to measure), the bounds are NaN.
    """
    finite = resampled[np.isfinite(resampled)]
    if len(finite) == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(finite, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def bootstrap_mean(
    values: FloatArray | IntArray, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """
    Return the mean of one value per image [I], with its percentile interval over images.

    Images with equal values are drawn together: the counts of values in a resample are
    multinomial, too, and a handful of values is drawn much faster than all images.
    """
    distinct, num_images = np.unique(values, return_counts=True)
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(len(values), num_images / len(values), size=num_resamples)
    means: FloatArray = draws @ distinct.astype(np.float64) / len(values)
    return percentile_interval(float(np.mean(values)), means)
