from dataclasses import fields, replace

import numpy as np
import pytest

from controlplane.learn import dear, judge
from controlplane.learn.evidence import Labels
from dataplane.contract.rule import Array, expit, logit
from dataplane.contract.terms import Platt

AS_IS = Platt(slope=1.0)
PARTED = judge.Bins(np.array([0.0]), np.array([-1.0, 1.0]), np.array([-0.7, 0.7]))


def labels(seed: int, count: int) -> Labels:
    """Three tiers: the second mends by its own p_hat, the third whatever it is."""
    rng = np.random.default_rng(seed)
    p_hat = rng.uniform(0.05, 0.95, (count, 3))
    local = rng.random(count) < p_hat[:, 0]
    second = rng.random(count) < np.where(local, 0.9, expit(2 * logit(p_hat[:, 1]) - 0.5))
    third = rng.random(count) < np.where(local, 0.97, 0.8)
    right = np.column_stack([local, second, third]).astype(float)
    ones = np.ones(count)
    none = np.zeros(count, dtype=np.intp)
    return Labels(p_hat, 100 * ones, ones * np.nan, none, right, np.ones_like(right), ones, ones)


def probability(believed: dear.Dear, own: float, name: str) -> Array:
    at = dear.stated([believed])[name][0]
    return at.probability(0.0, 0.0, logit(own))


def test_each_dear_tier_is_told_by_its_own_p_hat() -> None:
    told = labels(1, 6000)
    second, third = (dear.fit(PARTED, told, AS_IS, tier, dear.vague(3)) for tier in (1, 2))
    for own in (0.3, 0.5, 0.8):
        mends = probability(second, own, "dear_if_local_wrong")
        assert mends == pytest.approx(expit(2 * logit(own) - 0.5), abs=0.06)
        assert probability(third, own, "dear_if_local_wrong") == pytest.approx(0.8, abs=0.06)
        assert probability(third, own, "dear_wrong_if_local_right") == pytest.approx(0.03, abs=0.02)


def test_a_query_without_both_labels_tells_nothing() -> None:
    told = labels(2, 400)
    silent = np.arange(400) >= 100
    right = told.right.copy()
    right[silent, 1] = np.nan
    some = replace(told, right=right)
    columns = {each.name: getattr(told, each.name) for each in fields(Labels)}
    few = Labels(**{name: column[:100] for name, column in columns.items()})
    one, other = (dear.fit(PARTED, each, AS_IS, 1, dear.vague(3)) for each in (some, few))
    assert one.mends.mean.tolist() == other.mends.mean.tolist()
    assert one.spoils.mean.tolist() == other.spoils.mean.tolist()


def test_before_any_label_one_among_several_is_taken_at_its_word() -> None:
    among, alone = dear.vague(3), dear.vague(2)
    assert probability(among, 0.7, "dear_if_local_wrong") == pytest.approx(0.7)
    mends = {float(probability(alone, own, "dear_if_local_wrong")) for own in (0.2, 0.9)}
    assert len(mends) == 1
