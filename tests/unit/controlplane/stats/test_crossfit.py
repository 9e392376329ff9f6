import numpy as np
import pytest

from controlplane.stats import cross_fitted


def labelled(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(300, 2))
    value = (rng.uniform(size=300) < 1 / (1 + np.exp(-columns[:, 0]))).astype(float)
    return columns, np.where(rng.uniform(size=300) < 0.4, value, np.nan), np.full(300, 0.4)


def test_a_query_is_not_predicted_from_its_own_label() -> None:
    columns, value, chance = labelled(1)
    before = cross_fitted(columns, value, chance)
    for at in np.flatnonzero(~np.isnan(value))[:5]:
        flipped = value.copy()
        flipped[at] = 1 - flipped[at]
        after = cross_fitted(columns, flipped, chance)
        assert after[at] == before[at]
        assert not np.array_equal(after, before)


def test_a_column_that_does_not_vary_is_no_trouble() -> None:
    columns, value, chance = labelled(2)
    columns[:, 1] = 3.0
    predicted = cross_fitted(columns, value, chance)
    assert ((predicted > 0) & (predicted < 1)).all()


def test_a_fold_without_labels_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no label"):
        cross_fitted(np.ones((20, 1)), np.full(20, np.nan), np.full(20, 0.5))
