import json

import numpy as np
import pytest

from controlplane.learn.traffic import Traffic
from dataplane.contract.terms import LinearEstimator
from dataplane.features import TEXT, Features, of_text

ESTIMATOR = LinearEstimator(intercept=0.3, buckets=(1, 5, 16383), weights=(0.5, -2.0, 1.5))
OTHER = LinearEstimator(intercept=-1.0, buckets=(2,), weights=(0.7,))
SEEN = [
    (Features(10, (1, 5)), None),
    (Features(0, ()), -0.5),
    (Features(7, (2, 3, 16383)), -0.1),
]


def traffic(most: int = 10, most_buckets: int = 100) -> Traffic:
    found = Traffic(most, most_buckets)
    for features, score in SEEN:
        found.append(features, score)
    return found


def test_columns_are_what_the_estimator_says_of_each() -> None:
    columns = traffic().columns([ESTIMATOR, OTHER])
    for at, estimator in enumerate((ESTIMATOR, OTHER)):
        said = [estimator.p_hat(features) for features, _ in SEEN]
        assert columns.p_hat[:, at] == pytest.approx(said)
    assert columns.chars.tolist() == [10, 0, 7]
    assert np.isnan(columns.score[0])
    assert columns.score[1:].tolist() == [-0.5, -0.1]


def test_of_nothing_there_are_no_columns() -> None:
    columns = Traffic(10, 100).columns([ESTIMATOR, OTHER])
    assert len(columns.p_hat) == len(columns.chars) == len(columns.score) == 0


@pytest.mark.parametrize(("most", "most_buckets", "kept"), [(2, 100, 2), (10, 4, 2), (10, 3, 2)])
def test_the_oldest_make_room(most: int, most_buckets: int, kept: int) -> None:
    found = traffic(most, most_buckets)
    assert len(found) == kept
    assert found.columns([ESTIMATOR, OTHER]).chars.tolist() == [10, 0, 7][-kept:]


def test_the_last_stay() -> None:
    found = traffic()
    found.keep_last(1)
    assert found.columns([ESTIMATOR, OTHER]).chars.tolist() == [7]


def test_it_knows_the_category_and_the_weight_of_each_query() -> None:
    found = Traffic(10, 100)
    for features in (Features(5, ()), Features(5, (1, TEXT - 1)), Features(5, (1, 2, 3, TEXT + 6))):
        found.append(features, None)
    assert found.categories().tolist() == [0, 0, 7]
    assert found.weights().tolist() == pytest.approx([1, 2**-0.5, 0.5])
    assert Traffic(10, 100).categories().tolist() == []


def test_it_survives_a_restart() -> None:
    found, again = traffic(), Traffic(10, 100)
    again.restore(json.loads(json.dumps(found.state())))
    assert again.state() == found.state()
    assert (
        again.columns([ESTIMATOR, OTHER]).p_hat.tolist()
        == found.columns([ESTIMATOR, OTHER]).p_hat.tolist()
    )


def test_two_thousand_long_prompts_stay_small() -> None:
    found = Traffic(2000, 100_000)
    features = of_text(" ".join(f"word{i}" for i in range(300)))
    for _ in range(2000):
        found.append(features, None)
    assert len(json.dumps(found.state())) < 300_000


def test_a_usual_query_is_the_mean_of_the_feature_vectors() -> None:
    usual = traffic().usual()
    expected = np.zeros_like(usual)
    for features, _ in SEEN:
        expected[list(features.buckets)] += features.weight / len(SEEN)
    assert usual == pytest.approx(expected)
    assert Traffic(10, 100).usual().sum() == 0
