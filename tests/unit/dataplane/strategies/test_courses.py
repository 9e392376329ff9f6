"""Many queries at once come out as one by one."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Arm, LinearEstimator
from dataplane.features import Features, of_text
from dataplane.strategies import JUDGE, REPLY, Queries, State, call, choose, consider, courses
from tests.unit.dataplane.policies import CERTIFIED, certificate, policy, pool

MODES = ("route", "cascade", "cascade_route", "always_cloud", "always_local")


def queries(seed: int, count: int) -> tuple[list[Features], list[float | None]]:
    rng = random.Random(seed)
    texts = [f"What is {rng.randrange(10 ** rng.randrange(1, 9))} + 1?" for _ in range(count)]
    scores = [None if rng.random() < 0.1 else -rng.expovariate(3.0) for _ in texts]
    return [of_text(text) for text in texts], scores


def one_by_one(document: PolicyDocument, features: Features, score: float | None) -> list[str]:
    tiers = tuple(tier.name for tier in document.tiers)
    eligible = tiers if score is None else (*tiers, JUDGE)
    context, state, actions = consider(document, features, "default", eligible), State(), []
    while (action := choose(context, state, 0).action) != REPLY:
        actions.append(action)
        if action == JUDGE:
            state = State(state.answered, score)
        else:
            state = State((*state.answered, action.removeprefix("call:")), state.score)
    return actions


@given(
    st.integers(0, 2**31),
    st.sampled_from(MODES),
    st.floats(0.0, 1.5),
    st.floats(-2, 2),
    st.floats(-3, 3),
    st.sampled_from([2, 3, 5]),
    st.none() | st.floats(-1.5, 0.01),
)
def test_they_are_those_that_the_gateway_would_take(
    seed: int,
    mode: str,
    lambda_: float,
    intercept: float,
    weight: float,
    tiers: int,
    floor: float | None,
) -> None:
    held: dict[str, Any] = {}
    if floor is not None and mode not in ("route", "always_local"):
        held["certificate"] = certificate(floor)
    features, scores = queries(seed, 40)
    buckets = tuple(sorted({bucket for each in features for bucket in each.buckets}))
    estimators = tuple(
        LinearEstimator(
            intercept=intercept if tier == 0 else 0.5,
            buckets=buckets,
            weights=tuple(weight * np.sin(bucket * (tier + 1)) for bucket in buckets),
        )
        for tier in range(tiers)
    )
    fields: dict[str, Any] = {"estimators": estimators}
    fields |= {"objective": CERTIFIED} if held else {}
    document = pool(tiers, segment={"mode": mode, "lambda_": lambda_} | held, **fields)
    raw = np.array([np.nan if score is None else score for score in scores])
    found = courses(document, document.segments[0], Queries.of(document, features, raw))
    for at, (each, score) in enumerate(zip(features, scores, strict=True)):
        dear = call(document.dear[found.dear[at]].name)
        wanted = [dear] if found.straight[at] else [call("local")]
        wanted += [JUDGE] if found.judged[at] else []
        wanted += [dear] if found.escalated[at] else []
        assert one_by_one(document, each, score) == wanted
        assert bool(found.to_dear[at]) == (wanted[-1] == dear)
        answered = [action for action in wanted if action != JUDGE]
        assert call(document.tiers[found.served[at]].name) == answered[-1]
        if held and not found.to_dear[at]:
            assert score is not None
            assert score >= held["certificate"].score


def test_of_no_query_there_is_no_course() -> None:
    document = policy()
    none = Queries.of(document, [], np.zeros(0))
    assert len(courses(document, document.segments[0], none).straight) == 0


def test_what_is_drawn_by_weights_is_refused() -> None:
    document = policy(segment={"arms": (Arm(mode="route", lambda_=0.1, weight=1.0),)})
    with pytest.raises(ValueError, match="arm weights"):
        courses(document, document.segments[0], Queries.of(document, [], np.zeros(0)))
