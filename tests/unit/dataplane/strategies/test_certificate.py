"""Where a certificate is asked for, no answer is kept whose score is below the certified one."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Arm, LinearEstimator
from dataplane.features import of_text
from dataplane.strategies import JUDGE, REPLY, State, call, choose, consider
from tests.unit.dataplane.policies import CERTIFIED, certificate, policy, pool

LOCAL, CLOUD = call("local"), call("cloud")
judging = st.sampled_from(["cascade", "cascade_route", "always_cloud"])
lambdas = st.floats(0.0, 2.0)


@st.composite
def documents(draw: st.DrawFn) -> PolicyDocument:
    arms = tuple(
        Arm(mode=draw(judging), lambda_=draw(lambdas), weight=1 / 3)
        for _ in range(draw(st.sampled_from([0, 3])))
    )
    tiers = draw(st.sampled_from([2, 3, 5]))
    fields: dict[str, Any] = {
        "mode": draw(judging),
        "lambda_": draw(lambdas),
        "arms": arms,
        "certificate": certificate(draw(st.floats(-3.0, 0.01))),
    }
    estimators = tuple(LinearEstimator(intercept=draw(st.floats(-4, 4))) for _ in range(tiers))
    return pool(tiers, segment=fields, estimators=estimators, objective=CERTIFIED)


@given(
    documents(),
    st.integers(0, 2**63 - 1),
    st.none() | st.floats(-25, 0),
    st.sets(st.sampled_from(["local", JUDGE, "dear1", "cloud"])),
)
def test_the_local_answer_is_kept_only_at_or_above_the_certified_score(
    document: PolicyDocument, seed: int, score: float | None, away: set[str]
) -> None:
    """Judge and tiers may be away, or the judge fail; the last tier left is kept all the same."""
    names = [tier.name for tier in document.tiers]
    eligible = {*names, JUDGE} - away
    if not eligible - {JUDGE}:
        return
    context = consider(document, of_text("What is 4 + 5?"), "default", eligible)
    state, failed = State(), False
    while True:
        left = context.within(eligible - ({JUDGE} if failed else set()))
        choice = choose(left, state, seed)
        assert all(math.isfinite(value) for value in choice.values.values())
        if choice.action == REPLY:
            break
        if choice.action == JUDGE:
            failed = score is None
            state = State(state.answered, score)
        else:
            state = State((*state.answered, choice.action.removeprefix("call:")), state.score)
    if state.answered == ("local",) and eligible & set(names[1:]):
        held = document.segments[0].certificate
        assert held is not None
        assert state.score is not None
        assert document.judge.clip(state.score) >= held.score


def test_an_answer_that_the_judge_cannot_score_goes_on() -> None:
    document = policy(
        objective=CERTIFIED, segment={"mode": "cascade", "certificate": certificate(-1.0)}
    )
    context = consider(document, of_text("Hi"), "default", ("local", "cloud"))
    assert choose(context, State(), 0).action == CLOUD  # without a judge it is not even asked
    assert choose(context, State(("local",)), 0).action == CLOUD
    alone = context.within(("local",))
    assert choose(alone, State(), 0).action == LOCAL  # nothing else can answer
    assert choose(alone, State(("local",)), 0).action == REPLY


@pytest.mark.parametrize(("score", "action"), [(-0.1001, CLOUD), (-0.1, REPLY), (-0.05, REPLY)])
def test_the_certified_score_itself_is_accepted(score: float, action: str) -> None:
    document = policy(
        objective=CERTIFIED,
        segment={"mode": "cascade", "lambda_": 2.0, "certificate": certificate(-0.1)},
    )
    assert document.segments[0].judge_cutoff == -0.1
    context = consider(document, of_text("Hi"), "default", ("local", "cloud", JUDGE))
    assert choose(context, State(("local",), score), 0).action == action
