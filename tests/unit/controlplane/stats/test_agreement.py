import numpy as np
import pytest

from controlplane.stats import cohens_kappa


def table(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Two labellers' values from a table's cells: both 1, 1 and 0, 0 and 1, both 0."""
    first, second = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 0])
    return np.repeat(first, counts), np.repeat(second, counts)


def test_kappa_of_a_worked_table() -> None:
    """(20, 5, 10, 15): agreement .7, by chance .5; large-sample error .1323."""
    kappa = cohens_kappa(*table(20, 5, 10, 15))
    assert kappa.estimate == pytest.approx(0.4)
    assert (kappa.high - kappa.low) / 2 / 1.96 == pytest.approx(0.13, abs=0.01)


def test_the_labellers_may_change_places_and_the_values_names() -> None:
    first, second = table(30, 4, 9, 12)
    assert cohens_kappa(first, second) == cohens_kappa(second, first)
    assert cohens_kappa(7 - first, 7 - second).estimate == pytest.approx(
        cohens_kappa(first, second).estimate
    )


def test_perfect_agreement_of_few_is_not_perfect() -> None:
    kappa = cohens_kappa(*table(15, 0, 0, 15))
    assert (kappa.estimate, kappa.high) == (1.0, 1.0)
    assert 0.7 < kappa.low < 0.8


def test_one_value_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two different values"):
        cohens_kappa(np.ones(9), np.ones(9))


def test_kappa_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    first, second = np.random.default_rng(4).integers(0, 3, size=(2, 120))
    assert cohens_kappa(first, second).estimate == pytest.approx(
        metrics.cohen_kappa_score(first, second)
    )
