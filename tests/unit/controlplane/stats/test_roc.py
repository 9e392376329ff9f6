import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from controlplane.stats import auroc, roc_curve

LABELLED = st.lists(
    st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 4)), min_size=2, max_size=40
).filter(lambda rows: len({right for _, right, _ in rows}) == 2)


@given(LABELLED)
def test_the_area_is_that_under_the_curve_and_a_weight_is_so_many_answers(
    rows: list[tuple[int, bool, int]],
) -> None:
    score, right, weight = (np.array(column) for column in zip(*rows, strict=True))
    curve = roc_curve(score, right, 1 / weight)
    area = auroc(score, right, 1 / weight)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(area.estimate)
    copies = np.repeat(np.arange(len(rows)), weight)
    copied = auroc(score[copies], right[copies], np.ones(len(copies)))
    assert copied.estimate == pytest.approx(area.estimate)
    assert 0 <= area.low <= area.estimate <= area.high <= 1


@given(LABELLED)
def test_equal_weights_give_scipys_mann_whitney(rows: list[tuple[int, bool, int]]) -> None:
    score, right, _ = (np.array(column) for column in zip(*rows, strict=True))
    u = mannwhitneyu(score[right], score[~right]).statistic / (right.sum() * (~right).sum())
    assert auroc(score, right, np.ones(len(rows))).estimate == pytest.approx(u)


def test_a_curve_rises_from_nothing_accepted_to_everything() -> None:
    curve = roc_curve(np.array([3.0, 2, 2, 1]), np.array([True, False, True, False]), np.ones(4))
    assert curve.cutoff.tolist() == [np.inf, 3, 2, 1]
    assert (curve.tpr[0], curve.fpr[0], curve.tpr[-1], curve.fpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.tpr) >= 0).all()


def test_answers_that_do_not_overlap_are_not_known_never_to() -> None:
    score = np.arange(40.0)
    right = score >= 10
    interval = auroc(score, right, np.ones(40))
    assert interval.estimate == interval.high == 1
    assert interval.low == pytest.approx(0.722, abs=0.001)  # Wilson's of 10 of 10


def test_verdicts_have_the_interval_of_their_rates() -> None:
    """Newcombe's example (1998): 56 of 70 against 48 of 80, a difference of .2 (.0524 .. .3339)."""
    right = np.arange(150) < 70
    verdict = np.where(right, np.arange(150) < 56, np.arange(150) < 118).astype(float)
    interval = auroc(verdict, right, np.ones(150))
    found = [2 * end - 1 for end in (interval.estimate, interval.low, interval.high)]
    assert found == pytest.approx([0.2, 0.0524, 0.3339], abs=0.0015)


def test_one_kind_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="right and wrong"):
        auroc(np.ones(3), np.ones(3, dtype=bool), np.ones(3))


def test_weighted_areas_and_curves_are_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    right, chance = rng.uniform(size=300) < 0.7, rng.uniform(0.1, 0.9, size=300)
    score = np.round(rng.normal(size=300) + right, 1)
    theirs = metrics.roc_auc_score(right, score, sample_weight=1 / chance)
    assert auroc(score, right, chance).estimate == pytest.approx(theirs)
    curve = roc_curve(score, right, chance)
    fpr, tpr, _ = metrics.roc_curve(right, score, sample_weight=1 / chance, drop_intermediate=False)
    assert curve.fpr == pytest.approx(fpr)
    assert curve.tpr == pytest.approx(tpr)
