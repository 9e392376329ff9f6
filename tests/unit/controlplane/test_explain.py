"""Replay: the same choice to the last bit, and any difference seen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from controlplane.explain import Decided, replay
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Decision, Record, Step
from dataplane.contract.terms import Arm, Mode
from dataplane.features import Features
from tests.policies import DOUBTFUL, SURE, policy
from tests.traffic import decided

MODES: list[Mode] = ["route", "cascade", "cascade_route", "always_cloud", "always_local"]


def logged(records: Sequence[Record]) -> Decided:
    """The records as the tables give them back."""
    decision = records[0]
    assert isinstance(decision, Decision)
    steps = [r.model_dump(mode="json") for r in records if isinstance(r, Step)]
    return Decided(
        id=decision.id,
        policy_version=decision.policy_version,
        features=Features.from_compact(decision.features),
        segment=decision.segment,
        eligible=decision.eligible,
        seed=decision.seed,
        steps=steps,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("score", [SURE, DOUBTFUL])
def test_every_mode_replays(mode: Mode, score: float) -> None:
    document = policy(mode)
    for number in range(20):
        steps = replay(logged(decided(number, document, score, seed=number)), document)
        assert steps
        assert all(step.matches for step in steps)


def test_a_mixture_of_arms_replays() -> None:
    document = mixture()
    actions = set()
    for seed in range(40):
        steps = replay(logged(decided(seed, document, SURE, seed)), document)
        assert all(step.matches for step in steps)
        actions.add(steps[0].logged["action"])
    assert actions == {"call:local", "call:cloud"}


def mixture() -> PolicyDocument:
    document = policy("cascade")
    arms = (
        Arm(mode="cascade", lambda_=0.2, weight=0.7),
        Arm(mode="always_cloud", lambda_=0.0, weight=0.3),
    )
    segment = document.segments[0].model_copy(update={"arms": arms})
    return document.model_copy(update={"segments": (segment,)}).rederived()


@pytest.mark.parametrize(
    "forgery",
    [
        {"threshold": -0.123},
        {"values": {"reply": 0.5}},
        {"action": "call:cloud"},
        {"propensity": 0.5},
    ],
)
def test_a_forged_step_is_seen(forgery: dict[str, Any]) -> None:
    document = policy("cascade")
    true = logged(decided(1, document, SURE, seed=1))
    last = dict(true.steps[-1]) | forgery
    forged = replace(true, steps=[*true.steps[:-1], last])
    assert not replay(forged, document)[-1].matches


def test_another_policy_or_seed_does_not_pass_for_the_one_that_served() -> None:
    document = policy("cascade", lambda_=0.2)
    true = logged(decided(1, document, SURE, seed=1))
    other = replay(true, policy("cascade", lambda_=0.4))
    assert not all(step.matches for step in other)


def test_a_failed_tier_is_out_of_the_steps_that_follow() -> None:
    """The log says call:local, then call:cloud with nothing answered: local had failed."""
    document = policy("always_local")
    true = logged(decided(1, document, SURE, seed=1))
    first = dict(true.steps[0])
    second = first | {
        "index": 1,
        "action": "call:cloud",
        "pmf": {"call:cloud": 1.0},
        "threshold": None,
        "values": {"call:cloud": 0.0},
    }
    steps = replay(replace(true, steps=[first, second]), document)
    assert [step.matches for step in steps] == [True, True]
