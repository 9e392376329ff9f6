import numpy as np
import pytest
from scipy.integrate import quad

from controlplane.stats import aipw_scores, asymptotic_band
from controlplane.stats.asymptotic import boundary


def test_on_the_boundary_the_gaussian_mixture_is_one_over_alpha() -> None:
    alpha, tuning, variance = 0.05, 0.1, 30.0
    reach = float(boundary(np.array([variance]), alpha, tuning)[0])

    def wealth(l: float) -> float:  # noqa: E741 - the papers' lambda
        prior = np.exp(-l * l / 2 / tuning) / np.sqrt(2 * np.pi * tuning)
        return float(prior * np.exp(l * reach - l * l * variance / 2))

    assert quad(wealth, -5, 5)[0] == pytest.approx(1 / alpha)


def test_it_says_nothing_before_its_variance_is_known() -> None:
    rng = np.random.default_rng(1)
    value = np.where(rng.uniform(size=400) < 0.2, rng.uniform(size=400) < 0.7, np.nan)
    band = asymptotic_band(aipw_scores(np.full(400, 0.7), np.full(400, 0.2), value), 0.2)
    assert (band.low[0], band.high[0]) == (0.0, 1.0)
    first = int(np.argmax(band.low > 0))
    assert 30 <= (~np.isnan(value[: first + 1])).sum() <= 60
    last = band.at(-1)
    assert last.low < last.estimate < last.high
