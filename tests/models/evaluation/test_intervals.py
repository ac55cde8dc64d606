import numpy as np
import pytest

from models.evaluation.intervals import bootstrap_mean, percentile_interval, resample_counts, wilson


def test_wilson_of_ten_in_fifty() -> None:
    # By hand: (0.2 + 1.9208/50 ± 1.96·sqrt(0.16/50 + 0.9604/2500)) / (1 + 3.8415/50).
    interval = wilson(10, 50)

    assert interval.value == 0.2
    assert interval.low == pytest.approx(0.1124, abs=1e-4)
    assert interval.high == pytest.approx(0.3304, abs=1e-4)


def test_wilson_of_none_and_of_all_stays_between_0_and_1() -> None:
    none, every = wilson(0, 20), wilson(20, 20)

    assert none.low == 0
    assert 0 < none.high < 0.2
    assert every.high == 1
    assert every.low == pytest.approx(1 - none.high)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_of_impossible_counts_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, trials)


def test_every_resample_draws_the_number_of_images() -> None:
    counts = resample_counts(7, seed=3, num_resamples=100)

    assert counts.shape == (100, 7)
    assert (counts.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(counts, resample_counts(7, seed=3, num_resamples=100))


def test_bootstrap_spread_is_the_standard_error_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)

    interval = bootstrap_mean(values, seed=1)

    expected = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)


def test_bounds_of_nan_values_are_nan() -> None:
    interval = percentile_interval(float("nan"), np.full(5, np.nan))

    assert np.isnan(interval.low)
    assert np.isnan(interval.high)


def test_drawing_equal_values_together_keeps_the_interval() -> None:
    values = np.random.default_rng(2).poisson(0.4, size=300)

    together = bootstrap_mean(values, seed=1, num_resamples=40_000)

    one_by_one = resample_counts(300, seed=2, num_resamples=40_000) @ values / 300
    expected = percentile_interval(float(values.mean()), one_by_one)
    assert together.value == expected.value
    assert together.low == pytest.approx(expected.low, abs=0.004)
    assert together.high == pytest.approx(expected.high, abs=0.004)
