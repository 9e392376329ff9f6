import numpy as np
import pytest

from controlplane.learn import judge
from controlplane.learn.evidence import Labels
from dataplane.contract.rule import Array, expit, logit
from tests.unit.dataplane.policies import judge as table


def labelled(count: int, seed: int, power: float = 2.0) -> tuple[Labels, Array, Array]:
    """Labels under a true model, with the p_hat and scores of all judged answers."""
    rng = np.random.default_rng(seed)
    p_hat = expit(rng.normal(0.5, 1.0, count))
    right = (rng.random(count) < p_hat).astype(float)
    score = rng.normal(power * right, 1.0)
    ones = np.ones(count)
    labels = Labels(p_hat, ones, score, right, ones * np.nan, ones, ones, ones)
    return labels, p_hat, score


def test_too_few_scores_make_no_bins() -> None:
    assert judge.bins(np.arange(11.0)) is None
    assert judge.bins(np.zeros(100)) is None or len(judge.bins(np.zeros(100)).z) == 1  # type: ignore[union-attr]


def test_bins_hold_equal_shares_and_ascend() -> None:
    parted = judge.bins(np.random.default_rng(0).normal(size=600))
    assert parted is not None
    assert len(parted.z) == len(parted.raw) == len(parted.edges) + 1 == judge.MAX_BINS
    assert (np.diff(parted.z) > 0).all()
    assert (np.diff(parted.raw) > 0).all()
    assert parted.z.sum() == pytest.approx(0, abs=1e-6)


def test_ties_share_a_bin() -> None:
    scores = np.repeat([-3.0, -2.0, -1.0], [50, 200, 50])
    parted = judge.bins(scores)
    assert parted is not None
    assert (np.diff(parted.raw) > 0).all()
    assert (np.diff(parted.z) > 0).all()


def test_the_tilt_recovers_a_known_likelihood() -> None:
    labels, p_hat, score = labelled(4000, seed=3)
    parted = judge.bins(score)
    assert parted is not None
    tilt = judge.fit(parted, labels, (p_hat, score))
    assert tilt.f1.sum() == pytest.approx(1)
    assert tilt.f0.sum() == pytest.approx(1)
    assert tilt.support == pytest.approx(4000)
    true = np.bincount(parted.of(score[labels.local == 1]), minlength=len(parted.z))
    assert np.abs(tilt.f1 - true / true.sum()).max() < 0.03
    p = tilt.calibration.probability(logit(p_hat))
    assert p.mean() == pytest.approx(labels.local.mean(), abs=0.03)


def test_few_labels_lean_on_the_prior_and_stay_valid() -> None:
    labels, p_hat, score = labelled(400, seed=4)
    few = Labels(*(column[:10] for column in (
        labels.p_hat, labels.chars, labels.score, labels.local, labels.cloud,
        labels.local_probability, labels.cloud_probability, labels.weight,
    )))  # fmt: skip
    parted = judge.bins(score)
    assert parted is not None
    fitted = judge.table(
        table().replaced(highest=10.0), parted, judge.fit(parted, few, (p_hat, score))
    )
    ratio = np.array(fitted.f1) / np.array(fitted.f0)
    assert (np.diff(ratio) > 0).all()
    assert fitted.judge == table().judge
