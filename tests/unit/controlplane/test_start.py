from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.start import start_policy
from dataplane.contract.configuration import load
from dataplane.contract.terms import CostCeiling, QualityTarget, TrustTerms

EXAMPLE = Path(__file__).parents[3] / "penstock.example.yaml"
TARGET = EXAMPLE.read_text().split("objective:")[1].split("judge:")[0]


@pytest.mark.parametrize(
    ("stated", "objective"),
    [
        (
            "{target_quality: 0.97, reference: always_cloud}",
            QualityTarget(target_quality=0.97, reference="always_cloud"),
        ),
        (
            "{ceiling_usd_per_query: 0.002, confidence: 0.9, latency_usd_per_s: 0.5}",
            CostCeiling(ceiling_usd_per_query=0.002, confidence=0.9, latency_usd_per_s=0.5),
        ),
    ],
)
def test_each_objective_of_the_file_is_the_policys(
    tmp_path: Path, stated: str, objective: QualityTarget | CostCeiling
) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text(EXAMPLE.read_text().replace(TARGET, f" {stated}\n"))
    policy = start_policy(load(path, {"OPENAI_API_KEY": "sk"}), datetime.now(UTC))
    assert policy.objective == objective
    assert policy.segments[0].trust == "closed"
    waiting = objective.latency_usd_per_s * policy.cloud.latency_s
    assert policy.cloud.latency_s == 2.0
    assert policy.cost_unit_usd == pytest.approx(
        float(policy.cloud.expected_cost_usd(200.0)) + waiting
    )


def test_on_what_terms_the_judge_is_trusted_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    text = EXAMPLE.read_text().replace("while_closed: route", "while_closed: always_cloud")
    text = text.replace("opens: by_itself", "opens: when_accepted")
    path.write_text(text.replace("undecided: 0.2", "undecided: 0.5"))
    policy = start_policy(load(path, {"OPENAI_API_KEY": "sk"}), datetime.now(UTC))
    assert policy.trust == TrustTerms(while_closed="always_cloud", opens="when_accepted")
    assert (policy.audit.rate, policy.shadow.rate, policy.shadow.undecided) == (0.5, 0.5, 0.5)
