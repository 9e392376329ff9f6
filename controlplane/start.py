"""The first policy: everything to the cloud, nothing trained, and it says so.

It serves until the learner has enough labels to identify a cheaper arm. p_hat starts at one half
with no weights, the judge's table is a guess that decides nothing while its trust is closed, and
both are replaced by the first retune.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import numpy as np
from scipy.stats import norm

from controlplane.learn.settings import DrawRates, LearnerSettings
from dataplane.contract.configuration import Configuration
from dataplane.contract.policy import PolicyDocument, issue
from dataplane.contract.sections import Objective, Tier
from dataplane.contract.terms import (
    AuditTerms,
    CostCeiling,
    JudgeTable,
    LinearEstimator,
    Platt,
    QualityTarget,
    SegmentPolicy,
    ShadowTerms,
    TierTerms,
    TrustTerms,
    Typical,
)

PROMPT_CHARS = 200.0  # of the query whose cost is the unit, until traffic tells better
BINS = 6
LOWEST, HIGHEST = -20.0, 0.01  # of a mean log-probability; above 0 nothing can score
REASON = "start policy: always the cloud; p_hat and the judge's table are untrained"


def start_policy(configuration: Configuration, now: datetime) -> PolicyDocument:
    """Version 1 for these tiers and this objective."""
    audit = configuration.audit
    undecided = configuration.shadow.undecided
    usual = LearnerSettings().drawing(audit.rate, configuration.shadow.rate).cold
    cold = usual.at_least(DrawRates(undecided, undecided))
    return untrained(
        [terms(tier) for tier in configuration.tiers],
        untrained_judge(configuration.judge.kind),
        objective(configuration.objective),
        now,
        audit=AuditTerms(
            rate=cold.audit, label_price_usd=audit.label_price_usd, held_out=audit.held_out
        ),
        shadow=ShadowTerms(rate=cold.shadow, undecided=undecided),
        gate=TrustTerms(**configuration.judge.trust.model_dump()),
    )


def untrained(
    tiers: Sequence[TierTerms],
    judge: JudgeTable,
    objective: QualityTarget | CostCeiling,
    now: datetime,
    *,
    audit: AuditTerms,
    shadow: ShadowTerms,
    prompt_chars: float = PROMPT_CHARS,
    gate: TrustTerms | Literal["open"] = TrustTerms(),  # noqa: B008 - immutable
) -> PolicyDocument:
    """Version 1: all to the dearest tier, of which a call of ``prompt_chars`` is the cost unit.

    The judge is on trial by the terms of the ``gate``, or needs none.
    """
    dear, cloud = len(tiers) - 1, tiers[-1]
    segment = SegmentPolicy(
        mode="always_cloud",
        lambda_=0.0,
        routing_threshold=1.0,
        judge_cutoff=judge.highest,
        trust="open" if gate == "open" else "closed",
        dear_if_local_wrong=(Platt(intercept=1.5),) * dear,
        dear_wrong_if_local_right=(Platt(intercept=-3.0),) * dear,
        typical=Typical(p_hat=(0.5,) * len(tiers), prompt_chars=prompt_chars),
    )
    waiting = objective.latency_usd_per_s * cloud.latency_s
    return issue(
        version=1,
        kind="proposal",
        author="operator",
        reason=REASON,
        issued_at=now,
        objective=objective,
        cost_unit_usd=max(float(cloud.expected_cost_usd(prompt_chars)) + waiting, 1e-12),
        tiers=tuple(tiers),
        estimators=(LinearEstimator(),) * len(tiers),
        judge=judge,
        segments=(segment,),
        audit=audit,
        shadow=shadow,
        trust=TrustTerms() if gate == "open" else gate,
    )


def objective(stated: Objective) -> QualityTarget | CostCeiling:
    """An objective, as a policy states it."""
    kind = CostCeiling if stated.target_quality is None else QualityTarget
    return kind(**stated.stated())


def terms(tier: Tier) -> TierTerms:
    """A tier's price and expected use, as a policy states them."""
    return TierTerms(name=tier.name, **tier.price.model_dump(), **tier.expected.model_dump())


def untrained_judge(name: str) -> JudgeTable:
    """A table that believes a little in the judge: log-likelihood ratio 2 z."""
    z = norm.ppf((np.arange(BINS) + 0.5) / BINS)
    raw = -np.geomspace(3.0, 0.01, BINS)
    right, wrong = np.exp(z), np.exp(-z)
    return JudgeTable(
        judge=name,
        lowest=LOWEST,
        highest=HIGHEST,
        edges=tuple(((raw[1:] + raw[:-1]) / 2).tolist()),
        raw=tuple(raw.tolist()),
        z=tuple(z.tolist()),
        f1=tuple((right / right.sum()).tolist()),
        f0=tuple((wrong / wrong.sum()).tolist()),
    )
