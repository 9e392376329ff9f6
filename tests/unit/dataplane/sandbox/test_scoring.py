import math
from typing import Any

import pytest

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Mode
from dataplane.features import of_text
from dataplane.sandbox import cloud
from dataplane.sandbox.drift import changed
from dataplane.sandbox.scoring import (
    Both,
    Local,
    Task,
    always_cloud,
    always_local,
    ask,
    both,
    drifted,
    oracle,
    quality,
    random_mix,
    score,
)
from dataplane.sandbox.tasks import Query
from dataplane.sandbox.traffic import traffic
from dataplane.tiers.fake import FakeTier
from tests.policies import CLOUD, DOUBTFUL, LOCAL, SURE, policy

CHEAP, DEAR = 0.001, 0.1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def query(
    local: bool, dear: bool, *, score: float = SURE, usd: float = DEAR, text: str = "x"
) -> Both:
    return Both(of_text(text), local, dear, score, CHEAP, usd)


RUN = [
    query(True, True),
    query(True, False),
    query(False, True, usd=0.2),
    query(False, True, usd=0.1),
    query(False, False),
]


def test_the_ends_of_the_curve() -> None:
    assert always_local(RUN).quality == pytest.approx(2 / 5)
    assert always_local(RUN).cost_usd == pytest.approx(5 * CHEAP)
    assert always_cloud(RUN).quality == pytest.approx(3 / 5)
    assert always_cloud(RUN).cost_usd == pytest.approx(0.6)


def test_the_oracle_mends_the_cheapest_it_needs_and_no_more() -> None:
    best = oracle(RUN, 0.6)
    assert best.quality == pytest.approx(3 / 5)
    assert best.cost_usd == pytest.approx(4 * CHEAP + 0.1)
    assert oracle(RUN, 0.1).cost_usd == pytest.approx(5 * CHEAP)


def test_an_unreachable_target_gets_all_that_can_be_had() -> None:
    assert oracle(RUN, 1.0).quality == pytest.approx(4 / 5)
    assert random_mix(RUN, 1.0) == always_cloud(RUN)


def test_the_random_mix_meets_the_target_between_the_ends() -> None:
    mix = random_mix(RUN, 0.5)
    assert mix.quality == pytest.approx(0.5)
    assert mix.cost_usd == pytest.approx((always_local(RUN).cost_usd + 0.6) / 2)
    assert random_mix(RUN, 0.1) == always_local(RUN)


@pytest.mark.parametrize(
    ("mode", "score", "expected"),
    [
        ("always_local", SURE, 1.0),
        ("always_cloud", SURE, 0.0),
        ("cascade", SURE, 1.0),
        ("cascade", DOUBTFUL, 0.0),
    ],
)
def test_a_policy_is_worth_what_its_path_serves(mode: Mode, score: float, expected: float) -> None:
    assert quality(policy(mode), [query(True, False, score=score)]) == expected


def test_both_tiers_are_charged_by_their_own_count() -> None:
    asked = Query("What is 2 + 2?", "4", "sum", 1)
    known = {asked.text: Local(right=True, score=-0.1, prompt_tokens=16, completion_tokens=2)}
    (found,) = both([asked], known, 0, (LOCAL, CLOUD))
    assert found.local_usd == LOCAL.cost_usd(16, 2)
    said = cloud.answer(0, asked.text)
    assert found.cloud_usd == CLOUD.cost_usd(cloud.prompt_tokens(asked.text), cloud.tokens(said))


@pytest.mark.anyio
async def test_each_text_is_asked_once_and_judged_by_its_log_probabilities() -> None:
    tier = FakeTier("local", ["4"], logprob=math.log(0.5))
    known = await ask(tier, ["What is 2 + 2?", "What is 2 + 3?", "What is 2 + 2?"])
    assert len(tier.requests) == 2
    assert [one.right for one in known.values()] == [True, False]
    assert known["What is 2 + 2?"].score == pytest.approx(math.log(0.5))


def task(versions: list[PolicyDocument], **fields: Any) -> Task:
    """A short run; ``fields`` replace what it asks."""
    usual: dict[str, Any] = {
        "seed": 1,
        "cloud_seed": 2,
        "queries": 60,
        "fixed_queries": 40,
        "target_quality": 0.9,
        "policies": versions,
        "changes_at": 30,
        "terms_before": (LOCAL, CLOUD),
        "terms_after": (LOCAL, CLOUD),
    }
    return Task(**usual | fields)


@pytest.mark.anyio
async def test_a_task_is_scored_whole() -> None:
    versions = [policy("always_cloud"), policy("always_local", version=2)]
    result = await score(task(versions), FakeTier("local", ["wrong"]))
    texts = [each.text for each in traffic(1, 60)]
    paid = sum(
        CLOUD.cost_usd(cloud.prompt_tokens(text), cloud.tokens(cloud.answer(2, text)))
        for text in texts
    )
    assert result.always_local.quality == 0.0
    assert result.always_cloud.cost_usd == pytest.approx(paid)
    assert result.quality_by_version[2] == 0.0
    assert result.quality_by_version[1] > 0.85
    assert result.oracle.quality >= 0.9


@pytest.mark.anyio
async def test_from_the_change_on_calls_cost_what_the_new_terms_have_it() -> None:
    cheaper = CLOUD.replaced(
        input_usd_per_mtok=CLOUD.input_usd_per_mtok / 2,
        output_usd_per_mtok=CLOUD.output_usd_per_mtok / 2,
    )
    tier, versions = FakeTier("local", ["wrong"]), [policy("always_cloud")]
    whole, half, none = [
        (await score(task(versions, changes_at=at, terms_after=(LOCAL, cheaper)), tier))
        for at in (60, 30, 0)
    ]
    costs = [each.always_cloud.cost_usd for each in (whole, half, none)]
    assert costs[2] == pytest.approx(costs[0] / 2)
    assert costs[2] < costs[1] < costs[0]


def test_a_local_answer_drifts_as_the_local_tier_does() -> None:
    asked = [f"What is {first} + 2?" for first in range(200)]
    right = Local(right=True, score=-0.001, prompt_tokens=16, completion_tokens=2)
    for first, text in enumerate(asked):
        said, confidence = changed("local", 7, text, str(first + 2))
        found = drifted("local", 7, text, right)
        assert found.right == (said == str(first + 2))
        assert found.score == (right.score if confidence is None else confidence)
    kept = sum(drifted("local", 7, text, right).right for text in asked)
    assert 120 < kept < 180
    shaken = [drifted("judge", 7, text, right) for text in asked]
    assert all(each.right for each in shaken)
    assert sum(each.score != right.score for each in shaken) > 120
