from dataclasses import replace

import pytest

from controlplane.audit.prediction import predict
from dataplane.contract import rule
from dataplane.contract.terms import AuditTerms
from tests.traffic import query
from tests.unit.dataplane.policies import pool

DOCUMENT = pool(3)


@pytest.mark.parametrize("served", ["local", "dear1", "cloud"])
def test_what_is_expected_is_of_the_tier_that_served(served: str) -> None:
    seen = query(1, answered=(served,))
    beliefs = DOCUMENT.beliefs(DOCUMENT.segments[0], DOCUMENT.p_hat(seen.features))
    expected = dict(
        zip(("local", "dear1", "cloud"), (beliefs.p, *rule.dear_quality(beliefs)), strict=True)
    )
    assert predict(DOCUMENT, seen) == pytest.approx(float(expected[served]))


def test_a_low_score_of_the_local_answer_makes_it_likelier_wrong() -> None:
    seen = query(1, answered=("local",), score=-2.9)
    low, high = (predict(DOCUMENT, replace(seen, score=score)) for score in (-2.9, -0.02))
    assert low is not None
    assert high is not None
    assert low < high
    escalated = replace(seen, answered=("local", "dear1"), served="dear1")
    mended = predict(DOCUMENT, escalated)
    assert mended is not None
    assert mended > low


def test_a_score_for_the_judges_trial_alone_changes_nothing() -> None:
    """It is known where a shadow fell, so it may not bear on what an audit corrects."""
    on_trial = DOCUMENT.segments[0].replaced(mode="route", trust="closed", trial_lambda=0.3)
    document = DOCUMENT.replaced(segments=(on_trial,)).rederived()
    unscored = predict(document, query(1, answered=("local",)))
    assert unscored is not None
    assert predict(document, query(1, answered=("local",), score=-2.9)) == unscored


def test_what_is_not_audited_needs_no_prediction() -> None:
    assert predict(DOCUMENT.replaced(audit=AuditTerms()), query(1)) is None
