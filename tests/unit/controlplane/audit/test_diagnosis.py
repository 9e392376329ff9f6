"""The diagnosis follows a stream: what it says, when, and that nothing else hinges on it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from controlplane.audit.certificates import Event
from controlplane.audit.diagnosis import PATIENCE, Diagnosis
from controlplane.audit.memory import KEPT
from controlplane.evaluate.replay import Replay
from controlplane.learn.learner import Learner
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import expit
from dataplane.contract.terms import (
    AuditTerms,
    LinearEstimator,
    QualityTarget,
    ShadowTerms,
)
from dataplane.features import Features
from tests.binormal import separation
from tests.policies import JUDGE, policy
from tests.traffic import query
from tests.unit.controlplane.learn.rows import EASY, HARD, rows

LEVELS = tuple(np.linspace(-1.5, 3.0, 19).tolist())
ESTIMATORS = LinearEstimator(buckets=tuple(range(19)), weights=LEVELS), LinearEstimator()
LIVE = policy(estimators=ESTIMATORS)
TURN = 100
AUDIT = 0.1
ALARM = "labels are not as expected (CUSUM, at observation 3000): older labels fade"


@dataclass(frozen=True)
class World:
    """Where the levels of p_hat lie, what share of right answers is lost, and the judge."""

    level: float = 0.5
    lost: float = 0.0
    auroc: float = 0.8


def traffic(seed: int, first: int, count: int, world: World) -> list[Labelled]:
    """Judged local answers; one in ten is labelled, the others have an empty ``right``."""
    rng = np.random.default_rng([seed, first])
    found = []
    for number in range(first, first + count):
        at = rng.binomial(18, world.level)
        right = float(rng.random() < float(expit(LEVELS[at])) * (1 - world.lost))
        score = float(np.clip(rng.normal(separation(world.auroc) * right) - 3, -4, 0))
        seen = replace(query(number, score=score), features=Features(10, (at,)))
        told = {"local": right} if rng.random() < AUDIT else {}
        found.append(Labelled(seen, told, AUDIT, 0.0))
    return found


def follow(
    diagnosis: Diagnosis,
    stream: Sequence[Labelled],
    live: PolicyDocument = LIVE,
    alarms: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """What it says turn by turn; labels come a turn late, an alarm with the first turn."""
    events: list[Event] = []
    late: list[Labelled] = []
    for begin in range(0, len(stream), TURN):
        block = stream[begin : begin + TURN]
        raised = alarms if begin == 0 else ()
        events += diagnosis.review(live, [each.observation for each in block], late, raised)
        late = [each for each in block if each.right]
    events += diagnosis.review(live, [], late, ())
    return [body for _, body in events]


def begun(seed: int, queries: int = 3_000) -> Diagnosis:
    """One that has seen quiet times."""
    diagnosis = Diagnosis()
    assert follow(diagnosis, traffic(seed, 0, queries, World())) == []
    return diagnosis


@pytest.mark.parametrize(
    ("causes", "world"),
    [(["local"], World(lost=0.3)), (["judge"], World(auroc=0.6)), (["mix"], World(level=0.35))],
)
def test_it_names_the_cause_once_and_takes_it_for_usual_then(
    causes: list[str], world: World
) -> None:
    said = follow(begun(1), traffic(1, 3_000, 5_000, world))
    assert [body["causes"] for body in said] == [causes]
    assert said[0]["status"] == "named"
    assert said[0]["reason"].startswith("since about 2026-03-01T00:0")


def test_after_a_change_another_one_is_found() -> None:
    diagnosis = begun(2)
    said = follow(diagnosis, traffic(2, 3_000, 4_000, World(level=0.35)))
    said += follow(diagnosis, traffic(2, 7_000, 4_000, World(level=0.35, auroc=0.55)))
    assert [body["causes"] for body in said] == [["mix"], ["judge"]]


def test_an_alarm_opens_a_case_and_the_labels_that_follow_tell() -> None:
    said = follow(begun(3), traffic(3, 3_000, 3_000, World(lost=0.3)), alarms=[ALARM])
    assert [body["status"] for body in said] == ["open", "named"]
    assert "an alarm was raised (labels are not as expected):" in said[0]["reason"]
    assert said[1]["causes"] == ["local"]


def test_a_false_alarm_ends_with_no_cause() -> None:
    said = follow(begun(4), traffic(4, 3_000, PATIENCE + 500, World()), alarms=[ALARM])
    assert [body["status"] for body in said] == ["open", "closed"]
    assert said[1]["reason"].count("is not shown to differ") == 3


def test_a_price_is_told_without_waiting_for_labels() -> None:
    diagnosis = begun(5)
    cheaper = [
        replace(each.observation, cost_usd=each.observation.cost_usd / 2)
        for each in traffic(5, 3_000, 30, World())
    ]
    ((kind, body),) = diagnosis.review(LIVE, cheaper, [], ())
    assert (kind, body["causes"], body["tier"], body["factor"]) == (
        "drift",
        ["price"],
        "local",
        0.5,
    )


def straight(stream: Sequence[Labelled], level: int) -> list[Labelled]:
    """From this level of p_hat on, queries go to the cloud alone."""
    return [
        _straight(each) if each.observation.features.buckets[0] >= level else each
        for each in stream
    ]


def _straight(each: Labelled) -> Labelled:
    seen = replace(each.observation, answered=("cloud",), served="cloud", score=None)
    return Labelled(seen, {}, AUDIT, 0.0)


def test_which_answers_are_judged_is_no_drift_nor_is_a_gate_that_closes() -> None:
    diagnosis = Diagnosis()
    shut = LIVE.segments[0].replaced(trust="closed", mode="route")
    assert follow(diagnosis, straight(traffic(6, 0, 3_000, World()), 16)) == []
    assert follow(diagnosis, straight(traffic(6, 3_000, 3_000, World()), 9)) == []
    closed = LIVE.model_copy(update={"segments": (shut,)})
    assert follow(diagnosis, straight(traffic(6, 6_000, 1_000, World()), 12), closed) == []


def test_another_judge_is_no_drift() -> None:
    diagnosis = begun(7)
    other = LIVE.model_copy(update={"judge": JUDGE.replaced(judge="verifier")})
    assert follow(diagnosis, traffic(7, 3_000, 1_500, World(auroc=0.55)), other) == []


def test_a_pinned_query_tells_nothing() -> None:
    diagnosis = begun(8)
    pinned = [
        replace(each.observation, excluded=frozenset({"cloud"}))
        for each in traffic(8, 3_000, 500, World(level=0.1))
    ]
    assert diagnosis.review(LIVE, pinned, [], ()) == ()
    assert diagnosis.observed == 3_000


def test_a_newer_estimator_takes_over_once_it_has_seen_as_much() -> None:
    diagnosis = begun(9)
    newer = LinearEstimator(buckets=tuple(range(19)), weights=tuple(0.9 * w for w in LEVELS))
    live = LIVE.model_copy(update={"estimators": (newer, LinearEstimator())})
    assert follow(diagnosis, traffic(9, 3_000, KEPT + 2_000, World()), live) == []
    assert diagnosis.memories[0].estimator == newer
    said = follow(diagnosis, traffic(9, 5_000 + KEPT, 800, World(level=0.35)), live)
    assert [body["causes"] for body in said] == [["mix"]]


def test_it_survives_a_restart_in_any_turn() -> None:
    one = begun(10)
    stream = traffic(10, 3_000, 2_400, World(lost=0.35))
    other = Diagnosis.from_json(json.loads(json.dumps(one.to_json())))
    said = follow(one, stream)
    assert said
    again = []
    for begin in range(0, len(stream), TURN):
        block = stream[begin : begin + TURN]
        late = [each for each in stream[max(begin - TURN, 0) : begin] if each.right]
        seen: list[Observation] = [each.observation for each in block]
        again += [body for _, body in other.review(LIVE, seen, late, ())]
        other = Diagnosis.from_json(json.loads(json.dumps(other.to_json())))
    other.review(LIVE, [], [each for each in stream[-TURN:] if each.right], ())
    assert again == said
    assert other.to_json() == one.to_json()


def test_nothing_of_the_learner_hinges_on_it() -> None:
    def served(diagnosis: Diagnosis | None) -> tuple[list[PolicyDocument], str]:
        settings = LearnerSettings(cold=DrawRates(0.3, 0.2), steady=DrawRates(0.2, 0.1))
        start = policy(
            "always_cloud",
            objective=QualityTarget(target_quality=0.9),
            audit=AuditTerms(rate=0.3),
            shadow=ShadowTerms(rate=0.2),
        )
        replay = Replay(start, Learner(("local", "cloud"), settings), seed=3)
        replay.diagnosis = diagnosis
        list(replay.run(rows(11, 2_400, EASY, HARD)))
        assert replay.learner is not None
        assert bool(replay.events) == (diagnosis is not None)
        return replay.policies, replay.learner.to_json()

    assert served(Diagnosis()) == served(None)
