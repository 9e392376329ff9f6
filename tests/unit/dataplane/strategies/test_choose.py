from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Arm, LinearEstimator, Platt, Typical
from dataplane.features import of_text
from dataplane.strategies import JUDGE, REPLY, Choice, State, call, choose, consider
from tests.unit.dataplane.policies import policy, pool

LOCAL, CLOUD = call("local"), call("cloud")
STATES = (
    State(),
    State(("local",)),
    State(("local",), -0.2),
    State(("local", "cloud"), -0.2),
    State(("cloud",)),
)
seeds = st.integers(0, 2**63 - 1)
lambdas = st.floats(0.0, 2.0)
modes = st.sampled_from(["route", "cascade", "cascade_route", "always_cloud", "always_local"])


def everything(document: PolicyDocument) -> tuple[str, ...]:
    return (*(tier.name for tier in document.tiers), JUDGE)


def decide(
    document: PolicyDocument, state: State, seed: int = 0, eligible: Sequence[str] | None = None
) -> Choice:
    left = everything(document) if eligible is None else eligible
    return choose(consider(document, of_text("What is 4 + 5?"), "default", left), state, seed)


@st.composite
def documents(draw: st.DrawFn) -> PolicyDocument:
    weights = draw(st.lists(st.integers(1, 9), min_size=0, max_size=4))
    arms = tuple(
        Arm(mode=draw(modes), lambda_=draw(lambdas), weight=w / sum(weights)) for w in weights
    )
    fields: dict[str, Any] = {"mode": draw(modes), "lambda_": draw(lambdas), "arms": arms}
    tiers = draw(st.sampled_from([2, 3, 5]))
    intercepts = draw(st.lists(st.floats(-3, 3), min_size=tiers, max_size=tiers))
    estimators = tuple(LinearEstimator(intercept=each) for each in intercepts)
    return pool(tiers, segment=fields, estimators=estimators)


def path(document: PolicyDocument, seed: int, score: float) -> tuple[list[Choice], State]:
    """Follow a query to its reply."""
    choices, state = [decide(document, State(), seed)], State()
    while choices[-1].action != REPLY:
        action = choices[-1].action
        if action == JUDGE:
            state = State(state.answered, score)
        else:
            state = State((*state.answered, action.removeprefix("call:")), state.score)
        choices.append(decide(document, state, seed))
    return choices, state


@given(documents(), seeds, st.floats(-25, 0))
def test_every_path_ends_in_a_reply_and_every_pmf_sums_to_one(
    document: PolicyDocument, seed: int, score: float
) -> None:
    choices, state = path(document, seed, score)
    assert len(choices) <= 4
    assert len(set(state.answered)) == len(state.answered) >= 1
    assert len(state.answered) == 1 or (len(state.answered), state.answered[0]) == (2, "local")
    for choice in choices:
        assert sum(choice.pmf.values()) == pytest.approx(1)
        assert choice.propensity == choice.pmf[choice.action] > 0
        assert choice.action in choice.values or len(choice.pmf) == 1


@given(documents(), seeds, st.floats(-25, 0))
def test_a_decision_replays_bit_for_bit(document: PolicyDocument, seed: int, score: float) -> None:
    again = PolicyDocument.from_json(document.to_json())
    assert path(again, seed, score) == path(document, seed, score)


@given(documents(), seeds, st.sampled_from(STATES))
def test_ineligible_tiers_are_never_called(
    document: PolicyDocument, seed: int, state: State
) -> None:
    assert CLOUD not in decide(document, State(), seed, ("local", JUDGE)).pmf
    assert LOCAL not in decide(document, State(), seed, ("cloud",)).pmf
    if state.answered:
        assert decide(document, state, seed, ("local",)).action == REPLY


@given(documents(), seeds, st.data(), st.floats(-25, 0))
def test_whichever_tiers_are_eligible_one_of_them_answers(
    document: PolicyDocument, seed: int, data: st.DataObject, score: float
) -> None:
    names = [tier.name for tier in document.tiers]
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    eligible = (*some, JUDGE)
    first = decide(document, State(), seed, eligible)
    assert set(first.pmf) <= {call(name) for name in some}
    if first.action != LOCAL:
        return
    for state in (State(("local",)), State(("local",), score)):
        after = decide(document, state, seed, eligible)
        assert sum(after.pmf.values()) == pytest.approx(1)
        assert set(after.pmf) <= {JUDGE, REPLY, *(call(name) for name in some)} - {LOCAL}


@given(documents(), seeds, st.floats(-25, 0))
def test_where_the_tier_that_was_called_fails_another_is(
    document: PolicyDocument, seed: int, score: float
) -> None:
    left = everything(document)
    while len(left) > 2:  # a tier and the judge
        action = decide(document, State(("local",), score), seed, left).action
        if action == REPLY:
            break
        assert action.removeprefix("call:") in left
        left = tuple(name for name in left if call(name) != action)
    else:
        assert decide(document, State(("local",), score), seed, left).action == REPLY


@given(st.floats(-3, 3), lambdas, st.sampled_from([3, 5]))
def test_a_tier_without_merit_changes_nothing(intercept: float, lambda_: float, tiers: int) -> None:
    """Those between are as dear as the cloud and never right."""
    two = policy(
        segment={"lambda_": lambda_}, estimators=(LinearEstimator(intercept=intercept),) * 2
    )
    segment, between = two.segments[0], tiers - 2
    useless = Platt(intercept=-20.0), Platt(intercept=20.0)
    many = two.replaced(
        tiers=(two.local, *(two.cloud.replaced(name=f"t{n}") for n in range(between)), two.cloud),
        estimators=(two.estimators[0],) * tiers,
        segments=(
            segment.replaced(
                dear_if_local_wrong=(useless[0],) * between + segment.dear_if_local_wrong,
                dear_wrong_if_local_right=(useless[1],) * between
                + segment.dear_wrong_if_local_right,
                typical=Typical(p_hat=(0.5,) * tiers),
            ),
        ),
    )
    for state in STATES:
        one, other = decide(two, state), decide(many, state)
        assert (one.action, one.threshold) == (other.action, other.threshold)
        assert one.values.items() <= other.values.items()


def test_without_any_tier_there_is_no_choice() -> None:
    with pytest.raises(ValueError, match="no tier"):
        decide(policy(), State(), eligible=(JUDGE,))


@given(st.floats(-3, 3), lambdas)
def test_without_a_judge_cascade_routing_is_routing(intercept: float, lambda_: float) -> None:
    estimator = LinearEstimator(intercept=intercept)
    chosen = {
        decide(
            policy(segment={"mode": mode, "lambda_": lambda_}, estimators=(estimator, estimator)),
            State(),
            eligible=("local", "cloud"),
        ).action
        for mode in ("route", "cascade_route")
    }
    assert len(chosen) == 1


@given(st.floats(-3, 3), lambdas)
def test_cascade_routing_is_worth_at_least_either_pure_mode(
    intercept: float, lambda_: float
) -> None:
    estimator = LinearEstimator(intercept=intercept)
    document = policy(segment={"lambda_": lambda_}, estimators=(estimator, estimator))
    first = decide(document, State())
    judged = decide(document, State(("local",)))
    assert first.values[LOCAL] == pytest.approx(max(judged.values.values()))
    assert first.values[first.action] == pytest.approx(max(first.values.values()))


@given(st.floats(-25, 0.01), lambdas)
def test_a_score_below_the_cutoff_escalates_and_the_values_agree(
    score: float, lambda_: float
) -> None:
    choice = decide(policy(segment={"lambda_": lambda_}), State(("local",), score))
    assert choice.threshold is not None
    assert (choice.action == CLOUD) == (max(score, -20.0) < choice.threshold)
    gain = choice.values[CLOUD] - choice.values[REPLY]
    if abs(gain) > 1e-9 and -3.0 < score < -0.01:
        assert (choice.action == CLOUD) == (gain > 0)


@given(lambdas, st.floats(-25, 0))
def test_escalating_is_monotone_in_lambda(lambda_: float, score: float) -> None:
    state = State(("local",), score)
    thrifty = decide(policy(segment={"lambda_": lambda_ + 0.2}), state)
    if thrifty.action == CLOUD:
        assert decide(policy(segment={"lambda_": lambda_}), state).action == CLOUD


def test_arms_are_drawn_in_proportion_and_logged_with_their_propensity() -> None:
    arms = (
        Arm(mode="always_cloud", lambda_=0, weight=0.25),
        Arm(mode="always_local", lambda_=0, weight=0.75),
    )
    document = policy(segment={"mode": "route", "arms": arms})
    choices = [decide(document, State(), seed) for seed in range(4000)]
    share = sum(choice.action == CLOUD for choice in choices) / len(choices)
    assert share == pytest.approx(0.25, abs=0.03)
    assert {choice.propensity for choice in choices if choice.action == CLOUD} == {0.25}


def test_the_propensity_of_a_path_is_the_weight_of_the_arms_that_take_it() -> None:
    arms = (
        Arm(mode="always_cloud", lambda_=0, weight=0.5),
        Arm(mode="always_local", lambda_=0, weight=0.2),
        Arm(mode="cascade", lambda_=0.3, weight=0.3),
    )
    document = policy(segment={"mode": "route", "arms": arms})
    for seed in range(50):
        choices, state = path(document, seed, -0.2)
        taken = 1.0
        for choice in choices:
            taken *= choice.propensity
        expected = {("cloud",): 0.5, ("local", "cloud"): 0.3}.get(state.answered)
        if expected is None:
            expected = 0.2 if state.score is None else 0.3
        assert taken == pytest.approx(expected)
