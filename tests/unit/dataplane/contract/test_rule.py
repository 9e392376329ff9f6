from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.contract import rule

RAW = np.array([-2.0, -1.0, -0.5, -0.1])
probability = st.floats(0.02, 0.98)
price = st.floats(0.0, 3.0)


@st.composite
def beliefs(draw: st.DrawFn, dear: int = 1) -> rule.Beliefs:
    """Beliefs whose bins favour a right answer the higher they are."""
    ratio = np.exp(np.sort(np.array(draw(st.lists(st.floats(-3, 3), min_size=4, max_size=4)))))
    share = draw(st.floats(0.1, 0.9))
    marginal = np.full(4, 0.25)
    f0 = marginal / (share * ratio + 1 - share)
    f0 /= f0.sum()
    f1 = f0 * ratio / (f0 * ratio).sum()
    g = [np.full(4, draw(probability)) for _ in range(dear)]
    b = [np.full(4, draw(st.floats(0.0, 0.3))) for _ in range(dear)]
    return rule.believe(draw(probability), f1, f0, g, b)


@st.composite
def costs(draw: st.DrawFn, dear: int = 1) -> rule.Costs:
    cheap = st.floats(0, 0.2)
    return rule.Costs(draw(cheap), draw(cheap), tuple(draw(st.floats(0.1, 2)) for _ in range(dear)))


@st.composite
def pools(draw: st.DrawFn) -> tuple[rule.Beliefs, rule.Costs]:
    """Of two to five tiers."""
    dear = draw(st.integers(1, 4))
    return draw(beliefs(dear)), draw(costs(dear))


def taken(b: rule.Beliefs, c: rule.Costs, places: list[int]) -> tuple[rule.Beliefs, rule.Costs]:
    """The same with these dear tiers only, in this order."""
    dear, prices = tuple(b.dear[place] for place in places), tuple(c.dear[at] for at in places)
    return replace(b, dear=dear), replace(c, dear=prices)


@given(pools(), st.floats(0.0, 2.0), st.floats(-3.0, 0.01))
def test_a_floor_only_takes_away(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float, score: float
) -> None:
    b, c = pool
    barred = replace(b, floor=rule.Floor.at(score, RAW))
    free, held = (rule.value(each, c, lambda_) for each in (b, barred))
    assert held.judged <= free.judged
    assert held.dear == free.dear
    cutoffs = [float(rule.cutoff(each, c, lambda_, RAW, -20, 0.01)) for each in (b, barred)]
    assert cutoffs[1] == max(cutoffs[0], score)
    if score <= RAW[0]:
        assert held.judged == free.judged


def best(b: rule.Beliefs, c: rule.Costs, lambda_: float) -> float:
    """The value of the best first move."""
    values = rule.value(b, c, lambda_)
    return max(float(each) for each in (values.local, values.judged, *values.dear))


def spend(b: rule.Beliefs, c: rule.Costs, lambda_: float) -> float:
    """The expected cost of the best first move, and of what follows it."""
    values = rule.value(b, c, lambda_)
    after = rule.Best.of(list(rule.after_escalation(b, c, lambda_)))
    prices = np.array([float(each) for each in c.dear])
    escalates = after.value > b.p_after
    judged = c.local + c.judge + (b.bin_probability * escalates * prices[after.at]).sum()
    moves = [(float(values.local), float(c.local)), (float(values.judged), float(judged))]
    moves += [(float(v), p) for v, p in zip(values.dear, prices.tolist(), strict=True)]
    return max(moves)[1]


@given(beliefs(2))
def test_bins_are_a_distribution_and_average_to_the_prior(b: rule.Beliefs) -> None:
    assert b.bin_probability.sum() == pytest.approx(1)
    assert (b.bin_probability * b.p_after).sum() == pytest.approx(float(b.p))


@given(beliefs(3))
def test_escalation_averages_to_each_dear_tier(b: rule.Beliefs) -> None:
    averaged = [(b.bin_probability * each).sum() for each in rule.escalated_quality(b)]
    assert averaged == pytest.approx([float(each) for each in rule.dear_quality(b)])


@given(pools(), price)
def test_judging_free_of_charge_never_loses(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float
) -> None:
    b, c = pool
    values = rule.value(b, replace(c, judge=0.0), lambda_)
    after_local = max(map(float, values.dear)) - lambda_ * c.local  # that is paid for already
    assert float(values.judged) >= max(float(values.local), after_local) - 1e-9


@given(pools(), price)
def test_the_cutoff_falls_as_lambda_rises(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float
) -> None:
    b, c = pool
    at, later = (float(rule.cutoff(b, c, x, RAW, -20, 0.01)) for x in (lambda_, lambda_ + 0.1))
    assert later <= at + 1e-9


@given(pools(), price)
def test_the_cutoff_parts_bins_that_escalate_from_those_that_do_not(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float
) -> None:
    b, c = pool
    cutoff = float(rule.cutoff(b, c, lambda_, RAW, -20, 0.01))
    margin = b.p_after - np.max(list(rule.after_escalation(b, c, lambda_)), axis=0)
    assert (margin[cutoff < RAW] >= 0).all()
    if (margin < 0).all():
        assert cutoff == 0.01
    if (margin >= 0).all():
        assert cutoff == -20


@given(pools(), st.floats(0, 0.4))
def test_indifference_is_where_routing_flips(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float
) -> None:
    b, c = pool
    values = rule.value(b, c, lambda_)
    threshold = float(rule.indifference(b, c, lambda_))
    if 0 < threshold < 1 and abs(float(b.p) - threshold) > 1e-6:
        assert (float(b.p) < threshold) == (max(map(float, values.dear)) > float(values.local))


@given(pools(), st.lists(price, min_size=2, max_size=5))
def test_many_lambdas_at_once_are_bitwise_each_alone(
    pool: tuple[rule.Beliefs, rule.Costs], lambdas: list[float]
) -> None:
    b, c = pool
    together = rule.value(b, c, np.array(lambdas))
    cutoffs = rule.cutoff(b, c, np.array(lambdas), RAW, -20, 0.01)
    for i, lambda_ in enumerate(lambdas):
        alone = rule.value(b, c, lambda_)
        assert float(alone.judged) == together.judged[i]
        assert [float(each) for each in alone.dear] == [each[i] for each in together.dear]
        assert float(rule.cutoff(b, c, lambda_, RAW, -20, 0.01)) == cutoffs[i]


@pytest.mark.parametrize(("shape", "broadcast"), [((), ()), ((7,), (7,)), ((7, 1), (7, 3))])
def test_places_are_picked_along_the_last_axis(
    shape: tuple[int, ...], broadcast: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    values, at = rng.random((*shape, 5)), rng.integers(0, 5, broadcast)
    wanted = np.take_along_axis(values, at[..., None], axis=-1)[..., 0]
    assert (rule.picked(values, at) == wanted).all()


def test_logit_and_expit_are_inverse_and_bounded() -> None:
    p = np.array([0.0, 1e-9, 0.2, 0.5, 1.0])
    assert np.isfinite(rule.logit(p)).all()
    np.testing.assert_allclose(rule.expit(rule.logit(p[2:4])), p[2:4])
    assert float(rule.expit(1e6)) <= 1.0


# -- many dear tiers ------------------------------------------------------------------------------


@given(pools(), price)
def test_the_best_move_is_that_of_trying_all_plans(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float
) -> None:
    """A plan is a tier called at once, or for each bin what follows the judged local answer."""
    b, c = pool
    plans = [float(b.p) - lambda_ * c.local]
    for each, cost in zip(b.dear, c.dear, strict=True):
        right = float(b.p) * (1 - each.b_mean) + (1 - float(b.p)) * each.g_mean
        plans.append(float(right) - lambda_ * cost)
    after = [b.p_after]
    for each, cost in zip(b.dear, c.dear, strict=True):
        after.append(b.p_after * (1 - each.b) + (1 - b.p_after) * each.g - lambda_ * cost)
    per_bin = np.array(np.meshgrid(*np.array(after).T)).reshape(4, -1)  # each way to end each bin
    judged = (b.bin_probability @ per_bin).max() - lambda_ * (c.local + c.judge)
    assert best(b, c, lambda_) == pytest.approx(max(*plans, float(judged)), abs=1e-12)


@given(pools(), price, st.data())
def test_a_further_tier_is_never_a_loss(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float, data: st.DataObject
) -> None:
    b, c = pool
    gone = data.draw(st.integers(0, len(b.dear) - 1))
    left = [place for place in range(len(b.dear)) if place != gone]
    if left:
        assert best(*taken(b, c, left), lambda_) <= best(b, c, lambda_) + 1e-12


@given(pools(), price, st.data())
def test_a_tier_twice_is_that_tier_once(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float, data: st.DataObject
) -> None:
    b, c = pool
    places = list(range(len(b.dear)))
    twice = taken(b, c, [*places, data.draw(st.sampled_from(places))])
    once, again = rule.value(b, c, lambda_), rule.value(*twice, lambda_)
    assert (once.local, once.judged) == (again.local, again.judged)
    assert rule.Best.of(once.dear) == rule.Best.of(again.dear)
    assert rule.indifference(b, c, lambda_) == rule.indifference(*twice, lambda_)
    one, other = (rule.cutoff(*each, lambda_, RAW, -20, 0.01) for each in ((b, c), twice))
    assert one == other


@given(pools(), price, st.floats(0.01, 2.0))
def test_a_higher_lambda_spends_no_more(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float, more: float
) -> None:
    b, c = pool
    assert spend(b, c, lambda_ + more) <= spend(b, c, lambda_) + 1e-9
    assert best(b, c, lambda_ + more) <= best(b, c, lambda_) + 1e-12


@given(pools(), price, st.floats(0.01, 2.0), st.data())
def test_a_dearer_tier_is_worth_less_and_moves_cutoff_and_threshold_down(
    pool: tuple[rule.Beliefs, rule.Costs], lambda_: float, more: float, data: st.DataObject
) -> None:
    b, c = pool
    raised = data.draw(st.integers(0, len(c.dear) - 1))
    dear = tuple(each + more * (place == raised) for place, each in enumerate(c.dear))
    dearer = replace(c, dear=dear)
    assert best(b, dearer, lambda_) <= best(b, c, lambda_) + 1e-12
    assert rule.indifference(b, dearer, lambda_) <= rule.indifference(b, c, lambda_) + 1e-9
    now, then = (rule.cutoff(b, each, lambda_, RAW, -20, 0.01) for each in (c, dearer))
    assert then <= now + 1e-9


@given(beliefs(), costs(), price)
def test_of_two_tiers_the_formulae_are_those_of_two(
    b: rule.Beliefs, c: rule.Costs, lambda_: float
) -> None:
    (dear,), (cost,) = b.dear, c.dear
    values = rule.value(b, c, lambda_)
    cloud = b.p * (1 - dear.b_mean) + (1 - b.p) * dear.g_mean - lambda_ * cost
    after = b.p_after * (1 - dear.b) + (1 - b.p_after) * dear.g - lambda_ * cost
    judged = (np.maximum(b.p_after, after) * b.bin_probability).sum()
    assert float(values.dear[0]) == float(cloud)
    assert float(values.judged) == float(judged - lambda_ * (c.local + c.judge))
    at = (dear.g_mean - lambda_ * (cost - c.local)) / np.maximum(dear.g_mean + dear.b_mean, 1e-12)
    assert float(rule.indifference(b, c, lambda_)) == float(np.clip(at, 0, 1))


def test_the_first_of_equals_is_best() -> None:
    found = rule.Best.of([np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 3.0])])
    assert found.value.tolist() == [1.0, 2.0, 3.0]
    assert found.at.tolist() == [0, 0, 1]
