import pytest

from controlplane.differences import differences
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, QualityTarget
from tests.policies import policy
from tests.unit.dataplane.policies import certificate

BEFORE = policy("cascade")
SEGMENT = BEFORE.segments[0]


def with_segment(**fields: object) -> PolicyDocument:
    return BEFORE.model_copy(update={"segments": (SEGMENT.model_copy(update=fields),)})


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
        (policy("cascade", objective=QualityTarget(target_quality=0.8)), "objective: others"),
    ],
)
def test_what_changed_is_said(after: PolicyDocument, said: str) -> None:
    assert any(said in line for line in differences(BEFORE, after))
