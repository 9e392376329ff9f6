"""What a policy expected of the answer it served: the control variate of the audit.

It is computed from the policy that served the query, which was fixed before the query's label
existed; any such number leaves the audit unbiased, a good one makes its interval narrower.
"""

from controlplane.observations import Observation
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument


def local_right(policy: PolicyDocument, observation: Observation) -> float | None:
    """P(the local answer is right) given its score, by the serving policy; None: unscored."""
    if observation.score is None:
        return None
    beliefs = policy.beliefs(
        policy.segment(observation.segment), policy.p_hat(observation.features)
    )
    return float(beliefs.p_after[policy.judge.bin(observation.score)])


def predict(policy: PolicyDocument, observation: Observation) -> float | None:
    """P(the served answer is right) as the serving policy had it; None where it audits nothing.

    A score that is known because the query was drawn, as while the judge is on trial, says nothing
    here: what depends on the draw would bend the audit.
    """
    if not policy.audit.rate:
        return None
    segment = policy.segment(observation.segment)
    beliefs = policy.beliefs(segment, policy.p_hat(observation.features))
    k = None
    judged = segment.judges and policy.local.name in observation.answered
    if judged and observation.score is not None:
        k = policy.judge.bin(observation.score)
    names = [tier.name for tier in policy.tiers]
    return float(rule.right(beliefs, k)[names.index(observation.served)])
