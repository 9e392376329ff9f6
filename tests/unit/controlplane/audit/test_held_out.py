"""A tenth of the labels is learned from by nobody, and says when learning bends its figures."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from controlplane.audit.held_out import ENOUGH, LEVEL, Gap, compared, gap
from controlplane.observations import Labelled
from dataplane.contract.rule import Array
from dataplane.contract.terms import AuditTerms
from tests.policies import policy
from tests.traffic import query

LIVE = policy("always_local", audit=AuditTerms(rate=0.1))
LOOKS = 4000


def labelled(number: int, right: float = 1.0, tier: str = "local") -> Labelled:
    seen = replace(query(number, answered=(tier,)), decision_id=UUID(int=number))
    return Labelled(seen, {tier: right}, 0.1, 0.0)


def look(rng: np.random.Generator, shift: float) -> Gap:
    """One look at labels that are wrong one time in eight, drawn with chances from .02 to .2."""

    def residuals(count: int) -> tuple[Array, Array]:
        expected = rng.uniform(0.75, 1.0, count)
        chance = np.where(expected < 0.85, 0.2, rng.uniform(0.05, 0.1, count))
        return (rng.uniform(size=count) < expected) - expected, 1 / chance

    held, weight = residuals(ENOUGH)
    found = compared(held - shift, weight, *residuals(9 * ENOUGH))
    assert found is not None
    return found


def test_which_labels_are_held_out_is_fixed_by_their_ids() -> None:
    out = [labelled(number).held_out(0.1) for number in range(5000)]
    assert np.mean(out) == pytest.approx(0.1, abs=0.015)
    assert out == [labelled(number, right=0.0).held_out(0.1) for number in range(5000)]
    assert not any(labelled(number).held_out(0.0) for number in range(50))
    assert all(labelled(n).held_out(0.2) for n in range(500) if labelled(n).held_out(0.1))


def test_one_look_alarms_by_chance_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(5)
    false = np.mean([look(rng, 0.0).alarms for _ in range(LOOKS)])
    assert false <= 2 * LEVEL


def test_it_sees_that_held_out_labels_are_worse_and_minds_nothing_else() -> None:
    rng = np.random.default_rng(6)
    assert np.mean([look(rng, 0.15).alarms for _ in range(400)]) >= 0.9
    assert not any(look(rng, -0.15).alarms for _ in range(400))


def test_the_gap_is_that_of_the_live_policys_expectations() -> None:
    numbers = range(1500)
    out = {number: labelled(number).held_out(0.1) for number in numbers}
    found = gap(LIVE, [labelled(n, right=0.0 if out[n] else 1.0) for n in numbers])
    assert found is not None
    assert found.difference == pytest.approx(-1.0)
    assert (found.held_out, found.learned) == (sum(out.values()), 1500 - sum(out.values()))
    assert found.alarms
    assert "-100.0 points" in found.words
    same = gap(LIVE, [labelled(n, right=float(n % 2)) for n in numbers])
    assert same is not None
    assert not same.alarms


def test_labels_of_a_tier_that_has_gone_say_nothing() -> None:
    assert gap(LIVE, [labelled(number, tier="elsewhere") for number in range(100)]) is None
    assert gap(LIVE, []) is None
