"""The induction against every policy there is, against ``rule``, and against good sense."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.contract import chain as chains
from dataplane.contract import rule
from dataplane.contract.chain import REPLY, UNCALLED, UNJUDGED, Chain, Plan, State, advance, binned
from dataplane.contract.rule import Array, Mask

SMALL = [(2, 0), (3, 0), (2, 2), (3, 2), (0, 3), (2, 0, 0), (2, 2, 0), (2, 0, 2)]
LAMBDAS = np.linspace(0.0, 1.5, 7)
seeds = st.integers(0, 2**31)
lambdas = st.floats(0.0, 1.5)
shapes = st.sampled_from([*SMALL, (0, 0), (4, 3), (3, 3, 3), (2, 3, 2, 0), (2, 2, 2, 2)])
few = settings(max_examples=40)


def believed(bins: tuple[int, ...], seed: int, lead: tuple[int, ...] = ()) -> Chain:
    """A chain with that many bins per judge, of beliefs from even to nearly certain."""
    rng, tiers = np.random.default_rng(seed), len(bins)
    even = float(rng.choice([0.1, 0.5, 2.0]))
    probability = rng.dirichlet(np.full(2**tiers, even), size=lead)
    judges = [judge(rng, tier, bins) for tier in range(tiers)]
    costs = np.cumsum(rng.exponential(0.3, size=(*lead, tiers)), axis=-1)
    return Chain(probability, tuple(judges), costs, rng.exponential(0.05, size=(*lead, tiers)))


def judge(rng: np.random.Generator, tier: int, bins: tuple[int, ...]) -> Array:
    if not bins[tier]:
        return chains.without_judge(len(bins))
    f1, f0 = rng.dirichlet(np.ones(bins[tier]), size=2)
    tilt = rng.normal(size=bins[tier]) if rng.random() < 0.5 else None
    return chains.likelihood(f1, f0, tier, len(bins), tilt)


def at_start(planned: Plan) -> Array:
    return planned.value[..., 0]


# -- every policy there is ------------------------------------------------------------------------


def outcomes(bins: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """Every pattern with every score of every judge; a tier without one has the score 0."""
    scores = product(*(range(max(1, each)) for each in bins))
    return list(product(range(2 ** len(bins)), scores))


def become(state: State, tier: int, digit: int) -> State:
    return (*state[:tier], digit, *state[tier + 1 :])


@cache
def every_policy(bins: tuple[int, ...], state: State) -> Array:
    """(policies, outcomes, 1 + 2 N): whether an outcome ends right, tiers called and judged."""
    tiers, found = len(bins), []
    for tier, digit in enumerate(state):
        if digit != UNCALLED:
            found.append(replied(bins, tier))
        if digit == UNCALLED:
            found.append(every_policy(bins, become(state, tier, UNJUDGED)).copy())
            found[-1][..., 1 + tier] += 1
        if digit == UNJUDGED and bins[tier]:
            scored = [become(state, tier, binned(k)) for k in range(bins[tier])]
            after = [every_policy(bins, each) for each in scored]
            found.append(combined(bins, tier, after))
            found[-1][..., 1 + tiers + tier] += 1
    return np.concatenate(found)


def replied(bins: tuple[int, ...], tier: int) -> Array:
    course = np.zeros((1, len(outcomes(bins)), 1 + 2 * len(bins)))
    course[0, :, 0] = [pattern >> tier & 1 for pattern, _ in outcomes(bins)]
    return course


def combined(bins: tuple[int, ...], tier: int, after: list[Array]) -> Array:
    """Any policy after any bin."""
    scores = np.array([scores[tier] for _, scores in outcomes(bins)])
    chosen = np.indices([len(each) for each in after]).reshape(len(after), -1)
    course = np.zeros((chosen.shape[1], *after[0].shape[1:]))
    for k, each in enumerate(after):
        course[:, scores == k] = each[chosen[k]][:, scores == k]
    return course


def probabilities(chain: Chain, bins: tuple[int, ...]) -> Array:
    def of(pattern: int, scores: tuple[int, ...]) -> float:
        each = zip(chain.likelihoods, scores, bins, strict=True)
        told = [judge[pattern, k] for judge, k, judged in each if judged]
        return float(chain.pattern_probability[pattern] * np.prod(told))

    return np.array([of(*outcome) for outcome in outcomes(bins)])


@few
@given(st.sampled_from(SMALL), seeds, lambdas)
def test_no_policy_does_better_and_one_does_as_well(
    bins: tuple[int, ...], seed: int, lambda_: float
) -> None:
    chain = believed(bins, seed)
    ends = np.einsum("o,pon->pn", probabilities(chain, bins), every_policy(bins, chain.start))
    cost = ends[:, 1:] @ np.concatenate([chain.costs, chain.judge_costs])
    value = ends[:, 0] - lambda_ * cost
    planned = chains.plan(chain, lambda_)
    assert at_start(planned) == pytest.approx(value.max(), abs=1e-9)
    as_good = cost[value > value.max() - 1e-9]
    assert np.abs(as_good - chains.spend(chain, planned)).min() < 1e-9


def followed(
    chain: Chain, planned: Plan, pattern: int, scores: tuple[int, ...]
) -> tuple[int, float]:
    """Where the plan's own actions lead: whether its reply is right, and what it cost."""
    state, cost = chain.start, 0.0
    while (action := int(planned.action[chain.index(state)])) != REPLY:
        tier = action - 1
        called = state[tier] == UNCALLED
        cost += float((chain.costs if called else chain.judge_costs)[tier])
        state = become(state, tier, UNJUDGED if called else binned(scores[tier]))
    return pattern >> int(planned.answer[chain.index(state)]) & 1, cost


@few
@given(shapes.filter(lambda bins: np.prod(np.maximum(bins, 1)) < 13), seeds, lambdas)
def test_following_the_plan_earns_its_value_at_its_cost(
    bins: tuple[int, ...], seed: int, lambda_: float
) -> None:
    chain = believed(bins, seed)
    planned = chains.plan(chain, lambda_)
    ends = np.array([followed(chain, planned, *outcome) for outcome in outcomes(bins)])
    elsewhere = replace(believed(bins, seed + 1), costs=chain.costs, judge_costs=chain.judge_costs)
    spent_there = probabilities(elsewhere, bins) @ ends[:, 1]
    assert spent_there == pytest.approx(float(chains.spend(elsewhere, planned)), abs=1e-9)
    quality, cost = probabilities(chain, bins) @ ends
    assert cost == pytest.approx(float(chains.spend(chain, planned)), abs=1e-9)
    assert quality - lambda_ * cost == pytest.approx(float(at_start(planned)), abs=1e-9)


# -- the rule for two tiers -----------------------------------------------------------------------


@given(seeds, st.integers(1, 20), lambdas)
def test_two_tiers_are_the_rule(seed: int, bins: int, lambda_: float) -> None:
    rng = np.random.default_rng(seed)
    f1, f0 = rng.dirichlet(np.ones(bins), size=2)
    g, b = rng.random((2, 5, bins)) * [[[1.0]], [[0.4]]]
    beliefs = rule.believe(rng.random(5), f1, f0, [g], [b])
    costs = rule.Costs(rng.random(5) * 0.2, 0.03, (rng.random(5) + 0.5,))
    values, chain = rule.value(beliefs, costs, lambda_), chains.of_rule(beliefs, costs)
    judging, calling_cloud = chains.forbid(chain, judges=[0]), chains.forbid(chain, calls=[1])
    for forbidden, expected in (
        (judging | calling_cloud, values.local),
        (judging | chains.forbid(chain, calls=[0]), values.dear[0]),
        (chains.cascading(chain), values.judged),
        (chains.routing(chain), np.maximum(values.local, values.dear[0])),
        (None, np.maximum(np.maximum(values.local, values.dear[0]), values.judged)),
    ):
        found = at_start(chains.plan(chain, lambda_, forbidden))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(seeds, st.integers(1, 12), lambdas, st.floats(0, 1))
def test_what_a_floor_bars_is_barred_in_both(
    seed: int, bins: int, lambda_: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    f1, f0 = rng.dirichlet(np.ones(bins), size=2)
    g, b = rng.random((2, 5, bins)) * [[[1.0]], [[0.4]]]
    floor = rule.Floor.at(share * bins, np.arange(bins, dtype=np.float64))
    beliefs = rule.believe(rng.random(5), f1, f0, [g], [b], floor)
    costs = rule.Costs(rng.random(5) * 0.2, 0.03, (rng.random(5) + 0.5,))
    values, chain = rule.value(beliefs, costs, lambda_), chains.of_rule(beliefs, costs)
    assert np.isneginf(values.local).all()
    for forbidden, expected in (
        (chains.cascading(chain), values.judged),
        (chains.routing(chain), values.dear[0]),
        (one_dear(chain), np.maximum(values.dear[0], values.judged)),
    ):
        found = at_start(chains.plan(chain, lambda_, forbidden))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(seeds, st.integers(2, 4), st.integers(1, 5), lambdas)
def test_more_tiers_are_the_rule_where_one_dear_tier_is_called_at_most(
    seed: int, tiers: int, bins: int, lambda_: float
) -> None:
    rng = np.random.default_rng(seed)
    f1, f0 = rng.dirichlet(np.ones(bins), size=2)
    g, b = rng.random((2, tiers - 1, 5, bins)) * np.array([1.0, 0.4])[:, None, None, None]
    beliefs = rule.believe(rng.random(5), f1, f0, list(g), list(b))
    costs = rule.Costs(rng.random(5) * 0.2, 0.03, tuple(rng.random((tiers - 1, 5)) + 0.1))
    values, chain = rule.value(beliefs, costs, lambda_), chains.of_rule(beliefs, costs)
    best = np.max([values.local, values.judged, *values.dear], axis=0)
    found = at_start(chains.plan(chain, lambda_, one_dear(chain)))
    np.testing.assert_allclose(found, best, rtol=0, atol=1e-9)


def one_dear(chain: Chain) -> Mask:
    """Forbids all but to reply once a dear tier has answered."""
    mask = chains.forbid(chain)
    for dear in range(1, chain.tiers):
        called = tuple(
            slice(1, None) if tier == dear else slice(None) for tier in range(chain.tiers)
        )
        mask[(*called, slice(1, None))] = True
    return mask


def test_a_judged_answer_escalates_where_the_rule_says() -> None:
    f1, f0 = np.array([0.1, 0.2, 0.7]), np.array([0.6, 0.3, 0.1])
    beliefs = rule.believe(0.6, f1, f0, [np.array([0.8, 0.7, 0.6])], [np.full(3, 0.05)])
    costs = rule.Costs(0.02, 0.03, (1.0,))
    chain = chains.of_rule(beliefs, costs)
    (escalated,) = rule.after_escalation(beliefs, costs, 0.3)
    escalates = beliefs.p_after < escalated
    assert set(escalates) == {False, True}
    for k in range(3):
        wanted = advance(1) if escalates[k] else REPLY
        assert chains.best(chain, (binned(k), UNCALLED), 0.3).action == wanted


# -- routing and cascading fall out ---------------------------------------------------------------


@few
@given(shapes, seeds, lambdas)
def test_routing_is_the_best_tier_alone(bins: tuple[int, ...], seed: int, lambda_: float) -> None:
    chain = believed(bins, seed)
    alone = chains.plan(chain, lambda_, chains.routing(chain))
    right = [
        sum(p for pattern, p in enumerate(chain.pattern_probability) if pattern >> tier & 1)
        for tier in range(chain.tiers)
    ]
    assert at_start(alone) == pytest.approx((right - lambda_ * chain.costs).max())


def test_a_router_that_has_an_answer_replies() -> None:
    chain = believed((3, 2, 0), 1)
    options = chains.best(chain, (UNJUDGED, UNCALLED, UNCALLED), 0.0, chains.routing(chain))
    assert list(np.isfinite(options.values)) == [True, False, False, False]


def cascaded(chain: Chain, lambda_: float, weights: Array, tier: int = 0) -> float:
    """A cascade by recursion on the weights (2^N) of the patterns: escalate, or keep the best."""
    price, patterns = float(chain.costs[tier]), np.arange(len(weights))
    right = [patterns >> called & 1 == 1 for called in range(tier + 1)]
    if tier + 1 == chain.tiers:
        kept = max(float(weights[each].sum()) for each in right)
        return kept - lambda_ * price * float(weights.sum())
    worth = -lambda_ * (price + float(chain.judge_costs[tier])) * float(weights.sum())
    for left in (weights[:, None] * chain.likelihoods[tier]).T:
        kept = max(float(left[each].sum()) for each in right)
        worth += max(kept, cascaded(chain, lambda_, left, tier + 1))
    return worth


@few
@given(st.sampled_from([(2, 0), (3, 2), (2, 2, 0), (3, 3, 3), (2, 3, 2, 0)]), seeds, lambdas)
def test_cascading_takes_the_tiers_in_order_and_judges_each(
    bins: tuple[int, ...], seed: int, lambda_: float
) -> None:
    chain = believed(bins, seed)
    found = at_start(chains.plan(chain, lambda_, chains.cascading(chain)))
    assert found == pytest.approx(cascaded(chain, lambda_, chain.pattern_probability), abs=1e-9)


@given(shapes, seeds)
def test_free_to_do_either_is_never_worse_than_being_bound(
    bins: tuple[int, ...], seed: int
) -> None:
    chain = believed(bins, seed)
    free = at_start(chains.plan(chain, LAMBDAS))
    for bound in (chains.routing(chain), chains.cascading(chain), chains.forbid(chain, [0], [0])):
        assert (free >= at_start(chains.plan(chain, LAMBDAS, bound)) - 1e-9).all()


# -- what prices do -------------------------------------------------------------------------------


@given(shapes, seeds)
def test_value_cost_and_quality_fall_as_lambda_rises(bins: tuple[int, ...], seed: int) -> None:
    chain = believed(bins, seed)
    planned = chains.plan(chain, LAMBDAS)
    value, cost = at_start(planned), chains.spend(chain, planned)
    for falling in (value, cost, value + LAMBDAS * cost):
        assert (np.diff(falling) <= 1e-9).all()


@few
@given(shapes, seeds, lambdas, st.floats(0.0, 1.0))
def test_no_price_rise_is_a_gain(
    bins: tuple[int, ...], seed: int, lambda_: float, rise: float
) -> None:
    chain = believed(bins, seed)
    before = at_start(chains.plan(chain, lambda_))
    for each in np.eye(chain.tiers) * rise:
        for dearer in (
            replace(chain, costs=chain.costs + each),
            replace(chain, judge_costs=chain.judge_costs + each),
        ):
            assert at_start(chains.plan(dearer, lambda_)) <= before + 1e-9


# -- judges ---------------------------------------------------------------------------------------


def times(chain: Chain, planned: Plan, call: int | None = None, judge: int | None = None) -> Array:
    """How often, of the queries, a tier is called or its answer judged."""
    unit, none = np.eye(chain.tiers), np.zeros(chain.tiers)
    calls = none if call is None else unit[call]
    judges = none if judge is None else unit[judge]
    return chains.spend(replace(chain, costs=calls, judge_costs=judges), planned)


@given(shapes.filter(any), seeds)
def test_a_useless_judge_is_never_paid_for(bins: tuple[int, ...], seed: int) -> None:
    chain = believed(bins, seed)
    tier = int(np.argmax(bins))
    f = np.random.default_rng(seed).dirichlet(np.ones(bins[tier]))
    judges = list(chain.likelihoods)
    judges[tier] = chains.likelihood(f, f, tier, chain.tiers)
    useless = replace(chain, likelihoods=tuple(judges))
    planned = chains.plan(useless, LAMBDAS)
    assert not times(useless, planned, judge=tier)[1:].any()  # at lambda 0 nothing is paid for
    without = chains.plan(useless, LAMBDAS, chains.forbid(useless, judges=[tier]))
    np.testing.assert_allclose(at_start(planned), at_start(without), atol=1e-9)


@given(st.integers(2, 4), seeds)
def test_a_perfect_free_judge_is_worth_at_least_the_best_tier(tiers: int, seed: int) -> None:
    chain = believed((0,) * tiers, seed)
    perfect = [
        chains.likelihood(np.array([0.0, 1.0]), np.array([1.0, 0.0]), tier, tiers)
        for tier in range(tiers)
    ]
    judged = replace(chain, likelihoods=tuple(perfect), judge_costs=np.zeros(tiers))
    alone = at_start(chains.plan(chain, LAMBDAS, chains.routing(chain)))
    value = at_start(chains.plan(judged, LAMBDAS))
    assert (value >= alone - 1e-9).all()
    anyone_right = 1 - chain.pattern_probability[0]
    assert value[0] == pytest.approx(anyone_right)  # at lambda 0 all are asked until one is right


@given(seeds, st.integers(2, 4), st.integers(0, 2))
def test_a_tilted_judge_is_a_distribution_that_shifts_log_odds(
    seed: int, tiers: int, tier: int
) -> None:
    tier = min(tier, tiers - 2)
    rng = np.random.default_rng(seed)
    f1, f0 = rng.dirichlet(np.ones(4), size=2)
    tilt = rng.normal(size=4)
    told = chains.likelihood(f1, f0, tier, tiers, tilt)
    np.testing.assert_allclose(told.sum(axis=-1), 1.0)
    np.testing.assert_allclose(told[0], f0)  # with no later tier right nothing is tilted
    np.testing.assert_allclose(told[1 << tier], f1)
    later = 1 << tier + 1
    shift = np.log(told[later] / told[0])  # of the next tier's log-odds, this one wrong
    np.testing.assert_allclose(np.diff(shift), np.diff(tilt), atol=1e-9)


# -- what should not matter -----------------------------------------------------------------------


def joined(chain: Chain, seed: int) -> Chain:
    """The chain with one more tier: dearer than its last, and right only where that is."""
    rng, tiers = np.random.default_rng(seed), chain.tiers
    also = rng.random(2**tiers) * (np.arange(2**tiers) >> tiers - 1 & 1)
    probability = np.concatenate(
        [chain.pattern_probability * (1 - also), chain.pattern_probability * also]
    )
    judges = [np.concatenate([each, each]) for each in chain.likelihoods]
    return Chain(
        probability,
        (*judges, chains.without_judge(tiers + 1)),
        np.append(chain.costs, chain.costs[-1] + 0.01 + rng.random()),
        np.append(chain.judge_costs, 0.0),
    )


@few
@given(shapes.filter(lambda bins: len(bins) < 4), seeds)
def test_a_dominated_tier_changes_nothing(bins: tuple[int, ...], seed: int) -> None:
    chain = believed(bins, seed)
    more = joined(chain, seed)
    paid = LAMBDAS[1:]  # at lambda 0 it costs nothing to call it
    planned = chains.plan(more, paid)
    np.testing.assert_allclose(at_start(planned), at_start(chains.plan(chain, paid)), atol=1e-9)
    assert not times(more, planned, call=chain.tiers).any()


@few
@given(st.one_of(shapes, st.just((20, 0)), st.just((9, 11))), seeds)
def test_many_queries_and_lambdas_at_once_are_bitwise_each_alone(
    bins: tuple[int, ...], seed: int
) -> None:
    chain = believed(bins, seed, lead=(3, 1))
    together = chains.plan(chain, LAMBDAS[:2])
    spent = chains.spend(chain, together)
    for query, at in product(range(3), range(2)):
        alone = Chain(
            chain.pattern_probability[query, 0],
            chain.likelihoods,
            chain.costs[query, 0],
            chain.judge_costs[query, 0],
        )
        planned = chains.plan(alone, float(LAMBDAS[at]))
        assert (planned.value == together.value[query, at]).all()
        assert (planned.action == together.action[query, at]).all()
        assert (planned.answer == together.answer[query, at]).all()
        assert chains.spend(alone, planned) == spent[query, at]


@few
@given(shapes, seeds, lambdas, st.data())
def test_one_state_is_decided_as_within_the_whole_plan(
    bins: tuple[int, ...], seed: int, lambda_: float, data: st.DataObject
) -> None:
    chain = believed(bins, seed, lead=(2,))
    index = data.draw(st.integers(0, int(np.prod(chain.digits)) - 1))
    options, planned = chains.best(chain, chain.state(index), lambda_), chains.plan(chain, lambda_)
    assert chain.index(chain.state(index)) == index
    assert (options.action == planned.action[:, index]).all()
    assert (options.answer == planned.answer[:, index]).all()
    np.testing.assert_allclose(options.values.max(axis=-1), planned.value[:, index], atol=1e-9)


def test_what_cannot_follow_is_not_planned() -> None:
    chain = believed((2, 2, 0), 1)
    planned = chains.plan(chain, 0.1, start=(binned(1), UNJUDGED, UNCALLED))
    reached = [chain.state(int(index)) for index in np.flatnonzero(planned.action >= 0)]
    assert set(reached) == {
        (binned(1), middle, last)
        for middle in (UNJUDGED, binned(0), binned(1))
        for last in (UNCALLED, UNJUDGED)
    }
    assert (np.isnan(planned.value) == (planned.action < 0)).all()


def test_a_tier_unjudged_before_may_be_judged_still() -> None:
    f1, f0 = np.array([0.1, 0.9]), np.array([0.9, 0.1])
    beliefs = rule.believe(0.5, f1, f0, [np.full(2, 0.9)], [np.zeros(2)])
    chain = chains.of_rule(beliefs, rule.Costs(0.0, 0.01, (1.0,)))
    assert chains.best(chain, (UNCALLED, UNCALLED), 0.3).action == advance(0)
    assert chains.best(chain, (UNJUDGED, UNCALLED), 0.3).action == advance(0)
    assert chains.best(chain, (binned(0), UNCALLED), 0.3).action == advance(1)
    assert chains.best(chain, (binned(1), UNCALLED), 0.3).action == REPLY


def test_scores_that_cannot_be_have_a_plan_all_the_same() -> None:
    never = np.array([0.0, 0.5, 0.5])
    chain = Chain(
        np.array([0.2, 0.3, 0.4, 0.1]),
        (chains.likelihood(never, never, 0, 2), chains.without_judge(2)),
        np.array([0.1, 1.0]),
        np.array([0.0, 0.0]),
    )
    planned = chains.plan(chain, 0.2)
    assert np.isfinite(planned.value[1:]).all()
    assert planned.action[chain.index((binned(0), UNCALLED))] == REPLY
    bound = chains.best(chain, (UNJUDGED, UNCALLED), 0.2, chains.cascading(chain))
    assert list(np.isfinite(bound.values)) == [False, True, False]


@pytest.mark.parametrize(
    ("tiers", "patterns", "priced"), [(1, 2, 1), (5, 32, 5), (2, 8, 2), (2, 4, 3)]
)
def test_what_is_no_chain_is_refused(tiers: int, patterns: int, priced: int) -> None:
    judges = (np.empty((patterns, 0)),) * tiers
    with pytest.raises(ValueError, match="tiers"):
        Chain(np.full(patterns, 1 / patterns), judges, np.ones(priced), np.ones(priced))
