import sys
from typing import Any

import numpy as np
import pytest

from controlplane.learn.offline import train
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.traffic import Traffic
from dataplane.contract.rule import expit
from dataplane.features import Features, of_text


def recording(count: int, seed: int) -> tuple[list[Features], np.ndarray, np.ndarray]:
    """Words that make a query easy or hard; its true chance, and one outcome."""
    rng = np.random.default_rng(seed)
    worth = {"sum": 1.5, "capital": 2.5, "proof": -2.0, "poem": -0.5}
    words = rng.choice(list(worth), (count, 2))
    chance = expit(np.array([sum(worth[word] for word in pair) for pair in words]))
    features = [of_text(" ".join(pair) + f" {number}") for number, pair in enumerate(words)]
    return features, chance, (rng.random(count) < chance).astype(float)


def test_out_of_fold_it_says_what_is_true() -> None:
    features, chance, right = recording(3000, 1)
    trained = train(features, right)
    assert np.abs(trained.p_hat - chance).mean() < 0.05
    assert trained.p_hat.mean() == pytest.approx(right.mean(), abs=0.01)


def test_of_pure_chance_it_learns_the_rate() -> None:
    features, _, _ = recording(2000, 2)
    right = (np.random.default_rng(3).random(2000) < 0.7).astype(float)
    trained = train(features, right)
    assert np.abs(trained.p_hat - 0.7).mean() < 0.06


def test_a_predictor_goes_on_from_it() -> None:
    features, chance, right = recording(3000, 4)
    trained = train(features, right)
    predictor = QualityPredictor.restore(trained.state())
    said = np.array([predictor.predict(each) for each in features])
    assert np.abs(said - chance).mean() < 0.05
    assert [predictor.estimator().p_hat(each) for each in features[:50]] == pytest.approx(
        said[:50], abs=1e-3
    )
    recent = Traffic(300, sys.maxsize)
    for each in features[:300]:
        recent.append(each, None)
    usual = recent.usual()
    for each, outcome in zip(features[:300], right[:300], strict=True):
        predictor.learn(each, outcome, usual)
    after = np.array([predictor.predict(each) for each in features])
    assert np.abs(after - said).mean() < 0.02  # what it knows is not shaken by a few more


def test_the_same_recording_trains_the_same() -> None:
    features, _, right = recording(500, 5)
    assert train(features, right).state() == train(features, right).state()


def test_categories_and_hints_say_what_one_outcome_does_not() -> None:
    rng = np.random.default_rng(6)
    kinds = rng.integers(20, size=600)
    log_odds = np.linspace(-2.5, 2.5, 20)[kinds]
    features = [
        of_text(f"of {'abcdefghijklmnopqrst'[kind] * 2} and {n}") for n, kind in enumerate(kinds)
    ]
    right = (rng.random(600) < expit(log_odds)).astype(float)

    def far(**known: Any) -> float:
        return float(np.abs(train(features, right, **known).p_hat - expit(log_odds)).mean())

    plain = far()
    assert far(categories=[str(kind) for kind in kinds]) < plain
    assert far(hints=log_odds[:, None]) < plain


def test_a_head_predicts_as_its_predictor_does() -> None:
    features, _, right = recording(500, 7)
    trained = train(features, right)
    predictor = QualityPredictor.restore(trained.state())
    assert trained.predict(features[:20]) == pytest.approx(
        [predictor.predict(each) for each in features[:20]]
    )
