"""A newcomer takes its seat without a say; whoever was there keeps what was learned of it."""

import numpy as np

from controlplane.seats import seated
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import LinearEstimator, TierTerms
from tests.policies import CLOUD, LOCAL, policy

NEW = TierTerms(name="new", input_usd_per_mtok=0.1, output_usd_per_mtok=0.3, completion_tokens=40.0)
KNOWN = (LinearEstimator(intercept=0.4), LinearEstimator(intercept=1.2))


def joined(live: PolicyDocument) -> PolicyDocument:
    update = seated(live, (LOCAL, NEW, CLOUD))
    assert update is not None
    return live.model_copy(update=update).rederived()


def test_a_newcomer_changes_no_decision() -> None:
    live = policy("cascade_route", estimators=KNOWN)
    now, before = joined(live).segments[0], live.segments[0]
    assert (now.routing_threshold, now.judge_cutoff) == (
        before.routing_threshold,
        before.judge_cutoff,
    )
    assert joined(live).estimators == (KNOWN[0], LinearEstimator(), KNOWN[1])


def test_no_arm_calls_it_at_any_price_of_quality() -> None:
    document = joined(policy("cascade_route"))
    for p_hat in (0.01, 0.5, 0.99):
        beliefs = document.beliefs(document.segments[0], np.array([p_hat, 0.99, 0.5]))
        assert beliefs.dear[0].g_mean < 1e-4
        assert beliefs.dear[0].b_mean > 1 - 1e-4


def test_a_tier_that_goes_leaves_the_others_as_they_were() -> None:
    live = policy("cascade_route", estimators=KNOWN)
    update = seated(joined(live), (LOCAL, CLOUD))
    assert update is not None
    assert joined(live).model_copy(update=update).rederived() == live


def test_other_ends_are_another_policy() -> None:
    live = policy("cascade_route")
    assert seated(live, (LOCAL, NEW)) is None
    assert seated(live, (NEW, LOCAL, CLOUD)) is None
