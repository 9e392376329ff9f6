"""Why this answer: all that is told of one decision, computed by the code that serves.

What was recorded, its steps computed again, what the policy believed of the query, and what others
would have done with it.
"""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from controlplane import explain
from controlplane.connection import Connection
from controlplane.evaluate.alternatives import alternatives
from controlplane.observe import DecisionKey
from controlplane.sql import SQL
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import millisecond
from dataplane.strategies import consider
from dataplane.strategies.routing import threshold


def tell(connection: Connection, id: UUID) -> dict[str, Any] | None:  # noqa: A002 - the API's own word
    """A decision as JSON values; None where none of that id is recorded."""
    key = DecisionKey(millisecond(id), id)
    records = connection.execute(SQL["records_of"], key._asdict()).fetchone()
    if records is None or records["decision"] is None:
        return None
    decided = explain.find(connection, id)
    policy = decided and explain.shelf(connection)(decided.policy_version)
    steps = explain.replay(decided, policy) if decided and policy else []
    told = {
        "records": records,
        "steps": [step.words() for step in steps],
        "matches": bool(steps) and all(step.matches for step in steps),
        "beliefs": None,
        "alternatives": [],
    }
    if decided and policy:
        told["beliefs"] = beliefs(decided, policy)
        others = alternatives(connection, decided, policy)
        told["alternatives"] = [asdict(each) for each in others]
    return told


def beliefs(decided: explain.Decided, policy: PolicyDocument) -> dict[str, Any]:
    """What a policy believed of a query when it came, and the numbers that it is held against.

    ``p_hat`` as the estimators say, ``right`` as calibrated, ``expected_usd`` of a call: by tier.
    ``threshold`` on p_hat and ``cutoff`` on the raw score are those of this query; the segment's
    own are of its typical one.
    """
    segment = policy.segment(decided.segment)
    features, names = decided.features, [tier.name for tier in policy.tiers]
    p_hat = policy.p_hat(features)
    believed = policy.beliefs(segment, p_hat)
    costs = policy.costs(features.chars, features.category)
    bills = policy.bills(features.chars, features.category)
    context = consider(policy, features, decided.segment, decided.eligible)
    right = rule.right(believed, None)
    cutoff = policy.cutoff(believed, costs, segment.lambda_) if segment.judges else None
    return {
        "mode": segment.mode,
        "lambda": segment.lambda_,
        "cost_unit_usd": policy.cost_unit_usd,
        "p_hat": dict(zip(names, map(float, p_hat), strict=True)),
        "right": dict(zip(names, map(float, right), strict=True)),
        "expected_usd": dict(zip(names, map(float, (bills.local, *bills.dear)), strict=True)),
        "threshold": threshold(context, segment.lambda_),
        "cutoff": cutoff,
        "routing_threshold": segment.routing_threshold,
        "judge_cutoff": segment.judge_cutoff,
        "judge": policy.judge.model_dump(exclude={"z"}),
    }
