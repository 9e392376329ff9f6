import json
from collections.abc import Sequence

import numpy as np
import pytest

from controlplane.learn.quality import QualityPredictor, packed_estimator, unpacked_estimator
from dataplane.contract.rule import Array, logit
from dataplane.contract.terms import LinearEstimator
from dataplane.features import Features, of_text
from tests.unit.controlplane.learn.rows import EASY, rows, usual

RECENT = rows(59, 500, EASY)
USUAL = usual(RECENT)


def taught(count: int) -> QualityPredictor:
    predictor = QualityPredictor()
    for row in rows(60, count, EASY):
        predictor.learn(row.features, row.worth[0], USUAL)
    return predictor


def test_what_it_says_is_what_it_exports() -> None:
    predictor, estimator = taught(300), taught(300).estimator()
    for row in rows(61, 50, EASY):
        assert predictor.predict(row.features) == pytest.approx(
            estimator.p_hat(row.features), abs=1e-4
        )


def test_it_tells_easy_from_hard() -> None:
    predictor = taught(1500)
    new = rows(62, 1000, EASY)
    said = np.array([predictor.predict(row.features) for row in new])
    right = np.array([row.worth[0] for row in new])
    assert said[right == 1].mean() - said[right == 0].mean() > 0.2


def level(predictor: QualityPredictor) -> float:
    return float(np.mean([logit(predictor.predict(row.features)) for row in RECENT]))


def test_its_level_goes_with_the_mean_of_all_labels() -> None:
    """A hundred wrong answers in a row move it no more than a hundred of a thousand should."""
    predictor = taught(1000)
    said = [predictor.predict(row.features) for row in RECENT]
    assert np.mean(said) == pytest.approx(np.mean([row.worth[0] for row in RECENT]), abs=0.06)
    before = level(predictor)
    for row in RECENT[:100]:
        predictor.learn(row.features, 0.0, USUAL)
    assert 0.15 < before - level(predictor) < 0.45


def recalled(predictor: QualityPredictor, seen: Sequence[Features], words: list[float]) -> Array:
    category = np.array([each.category for each in seen])
    size = np.array([len(each.buckets) for each in seen])
    return predictor.recall(category, size, np.array(words))


def test_before_it_learns_more_it_recalls_what_it_says() -> None:
    predictor = taught(100)
    named = [of_text(f"What is {n} + 5?", "sums") for n in range(30)]
    predictor.believe({named[0].category: 0.3})
    predictor.shift({named[0].category: 1.0})
    for seen in ([row.features for row in RECENT], named):
        words = [predictor.words_add(each) for each in seen]
        said = [predictor.predict(each) for each in seen]
        assert recalled(predictor, seen, words) == pytest.approx(np.array(said), abs=1e-4)


def test_what_it_said_of_early_queries_is_recalled_at_the_level_of_today() -> None:
    """Four of five are right, and the first ones were told at even odds."""
    predictor, said, words = QualityPredictor(), list[float](), list[float]()
    early = rows(64, 60, EASY)
    for row in early:
        said.append(predictor.predict(row.features))
        words.append(predictor.words_add(row.features))
        predictor.learn(row.features, 0.8, USUAL)
    for row in rows(65, 600, EASY):
        predictor.learn(row.features, 0.8, USUAL)
    today = np.mean([predictor.predict(row.features) for row in RECENT])
    told = recalled(predictor, [row.features for row in early], words)
    assert today - np.mean(said) > 0.05
    assert np.mean(told) == pytest.approx(today, abs=0.01)


def test_it_goes_on_exactly_where_it_was() -> None:
    one = taught(200)
    other = QualityPredictor.restore(json.loads(json.dumps(one.state())))
    for row in rows(63, 100, EASY):
        one.learn(row.features, row.worth[0], USUAL)
        other.learn(row.features, row.worth[0], USUAL)
    assert one.state() == other.state()
    assert one.estimator() == other.estimator()


def test_a_shift_is_a_categorys_alone() -> None:
    predictor = taught(300)
    plain, named = of_text("What is 4 + 5?"), of_text("What is 4 + 5?", "sums")
    before = predictor.predict(plain)
    predictor.shift({named.category: 1.0})
    assert predictor.predict(plain) == before
    stepped = taught(300).predict(named)
    assert logit(predictor.predict(named)) == pytest.approx(logit(stepped) + named.weight)
    said = predictor.estimator().p_hat(named)
    assert said == pytest.approx(predictor.predict(named), abs=1e-4)
    again = QualityPredictor.restore(json.loads(json.dumps(predictor.state())))
    assert again.state() == predictor.state()
    assert again.estimator() == predictor.estimator()


def test_an_estimator_is_packed_exactly() -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=4000).round(5)
    buckets = np.sort(rng.choice(1 << 14, 4000, replace=False))
    estimator = LinearEstimator(
        intercept=0.123456789, buckets=tuple(buckets.tolist()), weights=tuple(weights.tolist())
    )
    again = unpacked_estimator(json.loads(json.dumps(packed_estimator(estimator))))
    assert again == estimator
    assert again.weights == estimator.weights
