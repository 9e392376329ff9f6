import json
from dataclasses import replace

import numpy as np
import pytest

from controlplane.evaluate.replay import EPOCH, Replay
from controlplane.learn import prior
from controlplane.learn.learner import Learner
from controlplane.learn.prior import NONE, Prior
from controlplane.learn.quality import QualityPredictor
from dataplane.contract.rule import expit
from tests.unit.controlplane.learn.rows import EASY, HARD, rows
from tests.unit.controlplane.learn.test_learner import run, start


@pytest.fixture(scope="module")
def learned() -> Prior:
    recorded = rows(50, 1500, EASY, HARD)
    worth = np.array([row.worth for row in recorded])
    return prior.fit([row.features for row in recorded], worth)


def test_a_recording_teaches_p_hat_and_how_far_to_trust_it(learned: Prior) -> None:
    new = rows(51, 1500, EASY, HARD)
    predictor = QualityPredictor.restore(learned.predictors[0])
    said = np.array([predictor.predict(row.features) for row in new])
    right = np.array([row.worth[0] for row in new])
    a, s, _ = learned.local.mean
    calibrated = expit(a + s * np.log(said / (1 - said)))
    assert calibrated.mean() == pytest.approx(right.mean(), abs=0.03)
    assert calibrated[right == 1].mean() - calibrated[right == 0].mean() > 0.2
    assert learned.labels == 1500


def test_it_says_nothing_of_a_judge_that_it_never_saw(learned: Prior) -> None:
    assert learned.local.mean[2] == NONE.local.mean[2]
    assert learned.local.precision[2, 2] == pytest.approx(NONE.local.precision[2, 2])


def test_it_survives_its_file(learned: Prior) -> None:
    again = Prior.from_json(learned.to_json())
    assert again.to_json() == learned.to_json()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "not a prior"),
        ("[", "not a prior"),
        ('{"schema": 9, "feature_version": 1}', "fit it anew"),
    ],
)
def test_what_is_no_prior_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Prior.from_json(text)


@pytest.mark.parametrize("precision", [[[1, 0, 0], [0, 1, 0], [0, 0, -1]], [[1]]])
def test_an_impossible_belief_is_refused(precision: list[list[int]]) -> None:
    body = json.loads(NONE.to_json())
    body["local"]["precision"] = precision
    with pytest.raises(ValueError, match="not a prior"):
        Prior.from_json(json.dumps(body))


def test_with_a_prior_it_leaves_the_cloud_sooner(learned: Prior) -> None:
    cold, _ = run(rows(52, 600, EASY))
    taught = Learner(("local", "cloud"), cold.learner.settings, learned)  # type: ignore[union-attr]
    warm, _ = run(rows(52, 600, EASY), learner=taught)

    def left_at(replay: Replay) -> float:
        cheaper = next(p for p in replay.policies if p.segments[0].mode != "always_cloud")
        return (cheaper.issued_at - EPOCH).total_seconds()

    assert left_at(warm) <= left_at(cold)


def test_the_prior_goes_with_the_state(learned: Prior) -> None:
    learner = Learner(("local", "cloud"), None, learned)
    again = Learner.from_json(learner.to_json())
    assert again.prior.to_json() == replace(learned, predictors=(None, None)).to_json()
    assert again.to_json() == learner.to_json()
    assert start().version == 1
