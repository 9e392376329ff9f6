"""The controlled mean against the reference implementation of PPI++, where that is installed."""

import numpy as np
import pytest

from controlplane.stats import Survey, controlled_mean, hajek_mean


@pytest.fixture
def survey() -> tuple[Survey, np.ndarray]:
    """800 queries, 200 of them labelled; and the predictions of the rest."""
    rng = np.random.default_rng(1)
    p = rng.uniform(0.2, 0.95, size=800)
    value = (rng.uniform(size=800) < p).astype(float)
    drawn = rng.permutation(800) < 200
    chance = np.full(200, 0.25)
    return Survey(value[drawn], p[drawn], chance, float(p.mean()), 800), p[~drawn]


def test_it_is_ppi_plus_plus_for_uniform_draws(survey: tuple[Survey, np.ndarray]) -> None:
    """Same tuned estimate; its variance is larger by that of drawing the stream, var(y) / N."""
    ppi_py = pytest.importorskip("ppi_py")
    ours, rest = survey
    interval, power = controlled_mean(ours)
    theirs = ppi_py.ppi_mean_pointestimate(ours.value, ours.predicted, rest, lam=power * 600 / 800)
    assert interval.estimate == pytest.approx(float(np.ravel(theirs)[0]))
    tuned = ppi_py.ppi_mean_pointestimate(ours.value, ours.predicted, rest)
    assert interval.estimate == pytest.approx(float(np.ravel(tuned)[0]), abs=0.002)
    low, high = (
        float(np.ravel(end)[0])
        for end in ppi_py.ppi_mean_ci(ours.value, ours.predicted, rest, alpha=0.05)
    )
    of_the_stream = ((interval.high - interval.low) / 3.92) ** 2
    assert ((high - low) / 3.92) ** 2 == pytest.approx(
        of_the_stream + ours.value.var() / 800, rel=0.05
    )


def test_without_variance_it_is_the_weighted_wilson_interval() -> None:
    ones = np.ones(40)
    all_right = Survey(ones, ones, ones / 4, 1.0, 160)
    assert controlled_mean(all_right) == (hajek_mean(all_right), 0.0)


def test_a_constant_prediction_is_given_no_weight(survey: tuple[Survey, np.ndarray]) -> None:
    ours = survey[0]
    flat = Survey(ours.value, np.full(200, 0.6), ours.probability, 0.6, 800)
    interval, power = controlled_mean(flat)
    assert power == 0
    assert interval.estimate == pytest.approx(float(ours.value.mean()))
