"""What a policy expected of the answer it served: the control variate of the audit.

It is computed from the policy that served the query, which was fixed before the query's label
existed; any such number leaves the audit unbiased, a good one makes its interval narrower.
"""

from controlplane.observations import Observation
from dataplane.contract.policy import PolicyDocument


def predict(policy: PolicyDocument, observation: Observation) -> float | None:
    """P(the served answer is right) as the serving policy had it; None where it audits nothing."""
    if not policy.audit.rate:
        return None
    segment = policy.segment(observation.segment)
    beliefs = policy.beliefs(segment, policy.p_hat(observation.features))
    if observation.score is not None and policy.local.name in observation.answered:
        k = policy.judge.bin(observation.score)
        p, g, b = (float(each[k]) for each in (beliefs.p_after, beliefs.g, beliefs.b))
    else:
        p, g, b = (float(each) for each in (beliefs.p, beliefs.g_mean, beliefs.b_mean))
    return p if observation.served == policy.local.name else p * (1 - b) + (1 - p) * g
