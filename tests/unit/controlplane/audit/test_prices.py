import json
from dataclasses import replace

import pytest

from controlplane.audit.prices import CALLS, Prices
from controlplane.observations import Observation, Used
from dataplane.contract.policy import PolicyDocument
from tests.policies import CLOUD, LOCAL, policy
from tests.traffic import query

CALL = CLOUD.cost_usd(10, 2)


def calls(first: int, count: int, factor: float = 1.0) -> list[Observation]:
    """Queries that local answered, and the cloud after it."""
    usd = LOCAL.cost_usd(10, 2) + factor * CALL
    return [
        query(first + at, answered=("local", "cloud"), cost_usd=usd, score=-3.0)
        for at in range(count)
    ]


def cheaper(live: PolicyDocument, factor: float) -> PolicyDocument:
    tier = CLOUD.replaced(
        input_usd_per_mtok=factor * CLOUD.input_usd_per_mtok,
        output_usd_per_mtok=factor * CLOUD.output_usd_per_mtok,
    )
    return live.model_copy(update={"tiers": (LOCAL, tier)})


@pytest.mark.parametrize("stated", [True, False])
def test_a_price_that_falls_is_told_with_what_the_policy_has(stated: bool) -> None:
    prices, live = Prices(), policy()
    assert prices.review(live, calls(0, 40)) == []
    now = cheaper(live, 0.3) if stated else live
    told = prices.review(now, calls(100, CALLS // 2 + 1, 0.3))
    assert [(each.tier, round(each.factor, 6)) for each in told] == [("cloud", 0.3)]
    ending = "as the policy's prices now have it" if stated else "state the new price"
    assert told[0].words.endswith(ending)
    assert prices.review(now, calls(200, 40, 0.3)) == []  # once


def test_longer_answers_and_other_tiers_are_no_price() -> None:
    prices, live = Prices(), policy()
    prices.review(live, calls(0, 40))
    used = {"cloud": Used(10, 200), "local": Used(10, 2)}
    longer = [
        replace(each, used=used, cost_usd=LOCAL.cost_usd(10, 2) + CLOUD.cost_usd(10, 200))
        for each in calls(100, 40)
    ]
    assert prices.review(live, longer) == []


def test_a_charge_that_never_was_what_terms_have_is_what_is_usual() -> None:
    prices, live = Prices(), policy()
    assert prices.review(live, calls(0, 40, 7.0)) == []
    assert prices.review(live, calls(100, 40, 7.0)) == []
    (told,) = prices.review(live, calls(200, 40, 14.0))
    assert (told.factor, told.stated) == pytest.approx((2.0, 1.0))


def test_it_survives_a_restart() -> None:
    prices, live = Prices(), policy()
    prices.review(live, calls(0, 30))
    again = Prices.from_json(json.loads(json.dumps(prices.to_json())))
    assert again == prices
    assert again.review(live, calls(100, 20, 0.5)) == prices.review(live, calls(100, 20, 0.5)) != []
