import numpy as np
import pytest

from controlplane.learn import judge
from controlplane.learn.evidence import Labels
from controlplane.learn.traffic import Columns
from dataplane.contract.rule import Array, Places, expit, logit
from tests.unit.dataplane.policies import judge as table


def labelled(count: int, seed: int, power: float = 2.0) -> tuple[Labels, Array, Array]:
    """Labels under a true model, with the p_hat (N, 2) and scores of all judged answers."""
    rng = np.random.default_rng(seed)
    p_hat = expit(rng.normal(0.5, 1.0, count))
    right = (rng.random(count) < p_hat).astype(float)
    score = rng.normal(power * right, 1.0)
    both = np.column_stack([p_hat, np.full(count, 0.9)])
    return told(both, score, right), both, score


def told(p_hat: Array, score: Array, right: Array) -> Labels:
    """Labels of local answers alone."""
    ones = np.ones(len(score))
    both = np.column_stack([right, ones * np.nan])
    return Labels(p_hat, ones, score, unnamed(ones), both, np.ones_like(both), ones, ones)


def unnamed(column: Array) -> Places:
    """Queries whose category nobody named, as many as there are in a column."""
    return np.zeros(len(column), dtype=np.intp)


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
    tilt = judge.fit(parted, labels, Columns(p_hat, p_hat[:, 0], score, unnamed(score)))
    assert tilt.f1.sum() == pytest.approx(1)
    assert tilt.f0.sum() == pytest.approx(1)
    assert tilt.support == pytest.approx(4000)
    true = np.bincount(parted.of(score[labels.right[:, 0] == 1]), minlength=len(parted.z))
    assert np.abs(tilt.f1 - true / true.sum()).max() < 0.03
    p = tilt.calibration.probability(logit(p_hat[:, 0]))
    assert p.mean() == pytest.approx(labels.right[:, 0].mean(), abs=0.03)


def test_few_labels_lean_on_the_prior_and_stay_valid() -> None:
    labels, p_hat, score = labelled(400, seed=4)
    few = told(labels.p_hat[:10], labels.score[:10], labels.right[:10, 0])
    parted = judge.bins(score)
    assert parted is not None
    fitted = judge.table(
        table().replaced(highest=10.0),
        parted,
        judge.fit(parted, few, Columns(p_hat, p_hat[:, 0], score, unnamed(score))),
    )
    ratio = np.array(fitted.f1) / np.array(fitted.f0)
    assert (np.diff(ratio) > 0).all()
    assert fitted.judge == table().judge


@pytest.mark.parametrize("rare", [0.02, 0.5, 0.98])
def test_a_judge_that_says_yes_or_no_has_two_bins(rare: float) -> None:
    scores = (np.arange(300) < 300 * rare).astype(float)
    parted = judge.bins(scores)
    assert parted is not None
    assert parted.raw.tolist() == [0, 1]
    assert parted.edges.tolist() == [0.5]
    assert parted.of(np.array([0.0, 1.0])).tolist() == [0, 1]
    assert parted.z[0] < parted.z[1]


def test_few_values_have_a_bin_each() -> None:
    values = np.array([0.25, 0.5, 1.0])
    parted = judge.bins(np.repeat(values, [3, 290, 7]))
    assert parted is not None
    assert parted.raw.tolist() == values.tolist()


def test_a_lowest_value_that_holds_nearly_all_is_parted_from_the_rest() -> None:
    parted = judge.bins(np.concatenate([np.zeros(970), np.linspace(0.1, 1, 30)]))
    assert parted is not None
    assert len(parted.raw) == 2
    assert parted.of(np.array([0.0, 0.1, 1.0])).tolist() == [0, 1, 1]


def test_a_yes_or_no_judge_is_fitted() -> None:
    rng = np.random.default_rng(5)
    right = (rng.random(2000) < 0.8).astype(float)
    score = np.where(rng.random(2000) < np.where(right == 1, 0.95, 0.1), 1.0, 0.0)
    ones = np.ones(2000)
    labels = told(np.full((2000, 2), 0.8), score, right)
    parted = judge.bins(score)
    assert parted is not None
    tilt = judge.fit(parted, labels, Columns(labels.p_hat, ones, score, unnamed(ones)))
    assert tilt.f1 == pytest.approx([0.05, 0.95], abs=0.03)
    assert tilt.f0 == pytest.approx([0.9, 0.1], abs=0.05)


def test_without_a_judge_labels_alone_calibrate_and_the_table_says_nothing() -> None:
    labels, p_hat, _ = labelled(3000, seed=6)
    unscored = told(p_hat, labels.score * np.nan, labels.right[:, 0])
    none = np.array([])
    tilt = judge.fit(judge.unjudged(table()), unscored, Columns(none, none, none, unnamed(none)))
    assert tilt.f1 == pytest.approx(tilt.f0)
    assert tilt.support == pytest.approx(3000)
    p = tilt.calibration.probability(logit(p_hat[:, 0]))
    assert p.mean() == pytest.approx(labels.right[:, 0].mean(), abs=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_no_bin_is_empty_however_the_scores_cluster(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.arange(25) / 24, 130, p=rng.dirichlet(np.full(25, 0.3)))
    parted = judge.bins(scores)
    assert parted is not None
    held = np.bincount(parted.of(scores), minlength=len(parted.z))
    assert held.all()
    assert np.isfinite(parted.raw).all()


def test_verdicts_may_lie_apart_otherwise_than_their_ranks() -> None:
    rng = np.random.default_rng(7)
    right = (rng.random(3000) < 0.8).astype(float)
    f1, f0 = np.array([0.03, 0.05, 0.92]), np.array([0.83, 0.05, 0.12])
    said = np.where(right == 1, rng.choice(3, 3000, p=f1), rng.choice(3, 3000, p=f0)) / 2
    ones = np.ones(3000)
    labels = told(np.full((3000, 2), 0.8), said, right)
    parted = judge.bins(said)
    assert parted is not None
    tilt = judge.fit(parted, labels, Columns(labels.p_hat, ones, said, unnamed(ones)))
    assert tilt.f1 == pytest.approx(f1, abs=0.015)
    assert tilt.f0 == pytest.approx(f0, abs=0.03)
    assert tilt.believed.mean.shape == judge.PRIOR.mean.shape
