import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from controlplane.evaluate.replay import EPOCH, Delay, Replay, Row, Served
from controlplane.learn.drift import Alarm, Signal
from controlplane.learn.learner import Learner
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.observations import Labelled
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, LinearEstimator, QualityTarget, ShadowTerms
from tests.traffic import query
from tests.unit.controlplane.learn.rows import EASY, HARD, rows
from tests.unit.dataplane.policies import policy

TIERS = ("local", "cloud")
SETTINGS = LearnerSettings(cold=DrawRates(0.5, 0.5), steady=DrawRates(0.2, 0.1))


def start(target: float = 0.9, trust: str = "open") -> PolicyDocument:
    """Always-cloud, untrained."""
    return policy(
        segment={"mode": "always_cloud", "lambda_": 0.0, "trust": trust},
        estimators=(LinearEstimator(), LinearEstimator()),
        objective=QualityTarget(target_quality=target),
        audit=AuditTerms(rate=0.5),
        shadow=ShadowTerms(rate=0.5),
    )


def run(
    traffic: list[Row], target: float = 0.9, learner: Learner | None = None, seed: int = 1
) -> tuple[Replay, list[Served]]:
    replay = Replay(
        start(target), learner or Learner(TIERS, SETTINGS), seed=seed, delay=Delay(5, 50)
    )
    return replay, list(replay.run(traffic))


@pytest.fixture(scope="module")
def learned() -> tuple[Replay, list[Served]]:
    return run(rows(1, 2500, EASY))


def test_it_leaves_the_cloud_and_holds_the_target(learned: tuple[Replay, list[Served]]) -> None:
    replay, served = learned
    assert served[0].actions == ("call:cloud",)
    assert len(replay.policies) >= 4
    late = served[1000:]
    quality = np.mean([each.quality for each in late])
    cost = np.mean([each.cost_usd for each in late]) / 5e-4
    assert 0.87 <= quality <= 0.94
    assert cost < 0.6


def test_versions_are_a_chain_with_reasons(learned: tuple[Replay, list[Served]]) -> None:
    policies = learned[0].policies
    for parent, child in pairwise(policies):
        assert (child.parent, child.version) == (parent.version, parent.version + 1)
        assert child.author == "learner"
        assert "quality 0." in child.reason
    assert [p.kind for p in policies] == ["proposal"] + ["retune"] * (len(policies) - 1)
    assert policies[-1].segments[0].judges


def test_a_higher_target_raises_threshold_and_cutoff() -> None:
    low, high = (run(rows(2, 2000, EASY), target)[0].live.segments[0] for target in (0.82, 0.93))
    assert high.routing_threshold > low.routing_threshold
    assert high.judge_cutoff > low.judge_cutoff


def test_harder_traffic_raises_threshold_and_cutoff_and_alarms() -> None:
    replay, _ = run(rows(3, 4000, EASY, HARD))
    before = [p for p in replay.policies if p.issued_at <= EPOCH + timedelta(seconds=2000)][-1]
    assert any("mix of queries changed" in words for words in replay.alarms)
    assert replay.live.segments[0].routing_threshold > before.segments[0].routing_threshold
    assert replay.live.segments[0].judge_cutoff > before.segments[0].judge_cutoff


def test_without_a_learner_nothing_moves() -> None:
    replay = Replay(start(), None, seed=1)
    served = list(replay.run(rows(1, 300, EASY)))
    assert replay.policies == [start()]
    assert {each.actions for each in served} == {("call:cloud",)}


def test_a_target_out_of_reach_is_said_plainly() -> None:
    replay, _ = run(rows(4, 3000, HARD), target=0.995)
    assert "unreachable" in replay.live.reason


def test_a_useless_judge_is_not_paid_for() -> None:
    """With scores that say nothing, cascading cannot beat routing by its estimates."""
    replay, served = run(rows(5, 2500, EASY, separation=0.0))
    quality = np.mean([each.quality for each in served[1000:]])
    assert quality > 0.86
    table = replay.live.judge
    ratio = np.array(table.f1) / np.array(table.f0)
    assert ratio.max() / ratio.min() < 6


def test_what_no_policy_decides_is_not_learned_from() -> None:
    learner = Learner(TIERS, SETTINGS)
    before = learner.to_json()
    pinned = query(1, score=-0.1, excluded=["cloud"])
    learner.observe([pinned])
    learner.learn([Labelled(pinned, {"local": 0.0}, 0.5, 0.0)])
    assert learner.to_json() == before
    learner.observe([query(2, score=-0.1)])
    assert learner.to_json() != before


def test_same_records_same_state_bit_for_bit() -> None:
    traffic = rows(6, 900, EASY)
    states = [run(traffic)[0].learner.to_json() for _ in range(2)]  # type: ignore[union-attr]
    assert states[0] == states[1]


def test_a_restored_learner_goes_on_as_if_nothing_had_happened() -> None:
    traffic = rows(7, 1200, EASY)
    straight, _ = run(traffic)
    interrupted = Replay(start(), Learner(TIERS, SETTINGS), seed=1, delay=Delay(5, 50))
    for served in interrupted.run(traffic):
        if served.at % 100 == 99 and interrupted.learner is not None:
            interrupted.learner = Learner.from_json(interrupted.learner.to_json(), SETTINGS)
    assert interrupted.policies == straight.policies
    assert interrupted.learner is not None
    assert straight.learner is not None
    assert interrupted.learner.to_json() == straight.learner.to_json()


def test_a_damaged_state_is_refused() -> None:
    envelope = json.loads(Learner(TIERS).to_json())
    with pytest.raises(ValueError, match="checksum"):
        Learner.from_json(json.dumps(envelope | {"checksum": "0"}))
    body = envelope["body"].replace('"schema":12', '"schema":13')
    checksum = hashlib.sha256(body.encode()).hexdigest()
    with pytest.raises(ValueError, match="schema 13 is unknown"):
        Learner.from_json(json.dumps({"checksum": checksum, "body": body}))


def test_state_stays_small(learned: tuple[Replay, list[Served]]) -> None:
    learner = learned[0].learner
    assert learner is not None
    assert len(learner.to_json()) < 1_000_000


def test_labels_alone_tell_of_a_tier_that_fails_where_its_scores_do_not() -> None:
    sound = rows(5, 3000, EASY)
    failing = [replace(row, worth=(row.worth[0] * (at % 2), row.worth[1])) for at, row in
               enumerate(rows(6, 1500, EASY))]  # fmt: skip
    replay, _ = run([*sound, *failing], learner=Learner(TIERS, SETTINGS))
    assert any("labels are not as expected" in words for words in replay.alarms)
    learner = replay.learner
    assert learner is not None
    ages = [record.at for record in learner.evidence.records]
    kept = [at for at, weight in zip(ages, learner.evidence.faded, strict=True) if weight == 1]
    assert kept == ages[-len(kept) :]
    assert 2000 < kept[0] < 3300  # from about the change, at 3,000, on


@pytest.mark.parametrize(
    ("signal", "ago", "standard_errors"),
    [("labels", 4900, 1.0), ("judge", 5100, 0.25), ("mix", 1400, 1.0), ("mix", 1600, 0.25)],
)
def test_more_quality_is_kept_in_hand_for_long_where_answers_changed(
    signal: Signal, ago: int, standard_errors: float
) -> None:
    learner = Learner(TIERS)
    learner.observed = 10_000
    learner.watch._last = Alarm(signal, at=10_000 - ago, since=9_000 - ago)
    assert learner._kappa == standard_errors
