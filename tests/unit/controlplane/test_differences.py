import pytest

from controlplane.differences import differences
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, CostCeiling, LinearEstimator, QualityTarget
from tests.policies import policy
from tests.unit.dataplane.policies import certificate

BEFORE = policy("cascade")
SEGMENT = BEFORE.segments[0]
CEILING = CostCeiling(ceiling_usd_per_query=0.001)


def with_segment(**fields: object) -> PolicyDocument:
    return BEFORE.model_copy(update={"segments": (SEGMENT.model_copy(update=fields),)})


def with_cloud(**fields: object) -> PolicyDocument:
    local, cloud = BEFORE.tiers
    return BEFORE.model_copy(update={"tiers": (local, cloud.replaced(**fields))})


def test_who_wrote_it_and_why_is_no_difference() -> None:
    other = policy("cascade", version=9, parent=4, author="learner", reason="another")
    assert differences(BEFORE, other) == []


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (policy("route"), "segment default: cascade -> route"),
        (with_segment(trust="closed"), "segment default: trust open -> closed"),
        (with_segment(lambda_=0.25), "segment default: lambda 0.2 -> 0.25"),
        (
            with_segment(judge_cutoff=SEGMENT.judge_cutoff - 0.5),
            f"judge cutoff {SEGMENT.judge_cutoff:.4g} -> {SEGMENT.judge_cutoff - 0.5:.4g}",
        ),
        (with_segment(certificate=certificate(-1.0)), "certified cutoff none -> -1"),
        (with_segment(name="code"), "segment code: new, cascade"),
        (with_segment(name="code"), "segment default: gone"),
        (
            with_segment(typical=SEGMENT.typical.replaced(prompt_chars=7.0)),
            "segment default: calibration and what dear tiers mend and spoil, refitted",
        ),
        (
            policy("cascade", audit=AuditTerms(rate=0.2)),
            f"audits: {BEFORE.audit.rate:.1%} -> 20.0%",
        ),
        (
            policy("cascade", objective=QualityTarget(target_quality=0.8, tolerance=0.01)),
            f"objective: target_quality {BEFORE.objective.target_quality:.4g} -> 0.8, "  # type: ignore[union-attr]  # it has a target
            "tolerance 0.02 -> 0.01",
        ),
        (policy("cascade", objective=CEILING), "objective: quality -> cost"),
        (
            with_cloud(cost_factor=1.25),
            "tier cloud: what a call costs, as measured: 1 -> 1.25 times what its terms have",
        ),
        (with_cloud(completion_tokens=7.0), "-> 7"),
        (with_cloud(name="other"), "tier other: new"),
        (with_cloud(name="other"), "tier cloud: gone"),
        (policy("cascade", estimators=(LinearEstimator(intercept=0.5),) * 2), "of p_hat: refitted"),
    ],
)
def test_what_changed_is_said(after: PolicyDocument, said: str) -> None:
    assert any(said in line for line in differences(BEFORE, after))
