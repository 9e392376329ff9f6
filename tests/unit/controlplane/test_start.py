from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.start import start_policy
from dataplane.contract.configuration import load
from dataplane.contract.terms import CostCeiling, QualityTarget

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
    waiting = objective.latency_usd_per_s * policy.cloud.latency_s
    assert policy.cloud.latency_s == 2.0
    assert policy.cost_unit_usd == pytest.approx(
        float(policy.cloud.expected_cost_usd(200.0)) + waiting
    )
