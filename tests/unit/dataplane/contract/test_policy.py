import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.contract.policy import MAX_BYTES, PolicyDocument
from dataplane.contract.terms import Arm, JudgeTable, LinearEstimator, Platt, QualityTarget
from dataplane.features import of_text
from tests.unit.dataplane.policies import CERTIFIED, certificate, judge, policy, segment


def altered(**fields: Any) -> str:
    """A valid document's JSON with top-level fields replaced."""
    return json.dumps(json.loads(policy().to_json()) | fields)


def altered_segment(**fields: Any) -> str:
    document = json.loads(policy().to_json())
    document["segments"][0] |= fields
    return json.dumps(document)


def test_json_round_trip_keeps_document_and_digest() -> None:
    document = policy()
    again = PolicyDocument.from_json(document.to_json())
    assert again == document
    assert again.digest() == document.digest()
    assert json.loads(document.to_json())["schema"] == 3


def test_using_a_document_does_not_change_it() -> None:
    document = policy()
    before = document.to_json()
    document.judge.bin(-0.3)
    document.p_hat(of_text("What is 1 + 1?"))
    assert document.to_json() == before
    assert document == PolicyDocument.from_json(before)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (altered(schema=2), "schema"),
        (altered(tiers=[]), "tiers"),
        (altered(tiers=[]), "at least 2"),
        (
            altered_segment(dear_if_local_wrong=[]),
            "dear_if_local_wrong needs one entry a dear tier",
        ),
        (altered_segment(typical={"p_hat": [0.5]}), "typical.p_hat needs one entry a tier"),
        (altered(version=0), "version"),
        (altered(version=1, parent=1), "newer than its parent"),
        (altered(surprise=1), "surprise"),
        (altered(cost_unit_usd=0), "cost_unit_usd"),
        (altered(cost_unit_usd="NaN"), "cost_unit_usd"),
        (altered(reason=""), "reason"),
        (altered_segment(routing_threshold=0.123), "routing_threshold is 0.123"),
        (altered_segment(judge_cutoff=-7.5), "judge_cutoff is -7.5"),
        (altered_segment(lambda_=-1), "lambda_"),
        (altered_segment(trust="closed"), "trust is closed"),
        (altered_segment(arms=[{"mode": "route", "lambda_": 1, "weight": 0.5}]), "sum to 1"),
        ("{", "JSON"),
        ("x" * (MAX_BYTES + 1), "at most"),
    ],
)
def test_a_poison_document_is_refused_with_its_reason(document: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PolicyDocument.from_json(document)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_may_be_nan_or_infinite(value: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        PolicyDocument.from_json(altered_segment(judge_cutoff=value))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"edges": (0.0, -1.0)}, "entries"),
        ({"raw": tuple(reversed(judge().raw))}, "ascend"),
        ({"f1": (0.0,) * 8}, "sum to 1"),
        ({"lowest": -0.1}, "lie within"),
    ],
)
def test_a_judge_table_is_checked_as_a_whole(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        JudgeTable(**(judge().model_dump() | columns))


def test_an_estimator_names_no_bucket_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        LinearEstimator(buckets=(1, 1), weights=(0.1, 0.2))
    with pytest.raises(ValueError, match="differ in length"):
        LinearEstimator(buckets=(1,), weights=())


@given(st.floats(0.03, 1.5), st.floats(1.05, 3.0))
def test_threshold_and_cutoff_fall_as_lambda_rises(lambda_: float, factor: float) -> None:
    strict = policy(segment={"lambda_": lambda_}).segments[0]
    thrifty = policy(segment={"lambda_": lambda_ * factor}).segments[0]
    assert thrifty.routing_threshold <= strict.routing_threshold + 1e-9
    assert thrifty.judge_cutoff <= strict.judge_cutoff + 1e-9


@pytest.mark.parametrize(
    ("mode", "threshold", "cutoff"), [("always_cloud", 1.0, 0.01), ("always_local", 0.0, -20.0)]
)
def test_the_ends_of_the_curve(mode: str, threshold: float, cutoff: float) -> None:
    end = policy(segment={"mode": mode}).segments[0]
    assert (end.routing_threshold, end.judge_cutoff) == (threshold, cutoff)


def test_cost_is_charged_by_token_and_not_where_unbilled() -> None:
    cloud = policy().cloud
    assert cloud.cost_usd(1_000_000, 100_000) == pytest.approx(2.5 + 1.0)
    assert cloud.replaced(billing="none").cost_usd(10, 10) == 0.0
    assert cloud.expected_cost_usd(400) == pytest.approx((100 * 2.5 + 100 * 10) / 1e6)


def test_a_replaced_table_keeps_nothing_cached() -> None:
    table = judge()
    assert table.bins.f1[0] == table.f1[0]
    other = table.replaced(f1=table.f0, f0=table.f1)
    assert other.bins.f1[0] == table.f0[0]


def test_arms_may_not_judge_where_trust_is_closed() -> None:
    with pytest.raises(ValueError, match="trust is closed"):
        segment(mode="route", trust="closed", arms=(Arm(mode="cascade", lambda_=0.1, weight=1.0),))
    with pytest.raises(ValueError, match="slope"):
        segment(calibration=Platt(slope=0.0))


def test_a_price_of_waiting_enters_the_costs_and_the_thresholds() -> None:
    local, cloud = policy().tiers
    tiers = (local, cloud.replaced(latency_s=3.0))
    table = judge().replaced(latency_s=1.0)
    priced = QualityTarget(target_quality=0.9, latency_usd_per_s=1e-4)
    patient, hasty = (
        policy(tiers=tiers, judge=table),
        policy(tiers=tiers, judge=table, objective=priced),
    )
    before, after = patient.costs(100), hasty.costs(100)
    assert after.dear[0] == pytest.approx(before.dear[0] + 3e-4 / patient.cost_unit_usd)
    assert after.judge == pytest.approx(1e-4 / patient.cost_unit_usd)
    assert after.local == before.local
    assert hasty.bills(100) == patient.bills(100)
    assert hasty.segments[0].routing_threshold < patient.segments[0].routing_threshold
    assert hasty.segments[0].judge_cutoff < patient.segments[0].judge_cutoff


@pytest.mark.parametrize(
    ("objective", "fields", "says"),
    [
        (None, {"certificate": certificate(-1.0)}, "does not ask for"),
        (CERTIFIED, {"mode": "cascade"}, "without a certificate no mode may accept, not cascade"),
        (CERTIFIED, {"mode": "route"}, "without a certificate no mode may accept, not route"),
        (CERTIFIED, {"mode": "route", "certificate": certificate(-1.0)}, "what was not judged"),
        (CERTIFIED, {"certificate": certificate(-1.0, limit=0.1)}, "not for what the objective"),
        (CERTIFIED, {"certificate": certificate(-1.0, judge="other")}, "of judge other"),
        (CERTIFIED, {"certificate": certificate(-21.0)}, "within the judge's lowest and highest"),
    ],
)
def test_a_document_keeps_to_the_certificate_that_is_asked_for(
    objective: QualityTarget | None, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        policy(segment=fields, **({"objective": objective} if objective else {}))


def test_a_certificate_beyond_its_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"its risk 0\.06 exceeds 0\.05"):
        certificate(-1.0, risk=0.06)


def test_a_judge_cutoff_below_the_certified_score_is_refused() -> None:
    document = policy(segment={"certificate": certificate(-0.05)}, objective=CERTIFIED)
    assert document.segments[0].judge_cutoff >= -0.05
    loose = json.loads(document.to_json())
    loose["segments"][0]["judge_cutoff"] = -1.0
    with pytest.raises(ValueError, match="judge_cutoff is -1"):
        PolicyDocument.from_json(json.dumps(loose))


def test_always_cloud_waits_for_a_certificate() -> None:
    document = policy(segment={"mode": "always_cloud"}, objective=CERTIFIED)
    assert "certificate" not in json.loads(document.to_json())["segments"][0]
    assert PolicyDocument.from_json(document.to_json()) == document
