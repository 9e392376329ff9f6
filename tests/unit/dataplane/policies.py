"""Policies that tests build on: small, valid, easily varied."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from scipy.stats import norm

from dataplane.contract.policy import PolicyDocument, issue
from dataplane.contract.terms import (
    AuditTerms,
    CertifiedCutoff,
    JudgeTable,
    LinearEstimator,
    Platt,
    QualityTarget,
    SegmentPolicy,
    ShadowTerms,
    TierTerms,
    Typical,
    WrongAcceptances,
)

BINS = 8


def judge(power: float = 1.0) -> JudgeTable:
    """A judge whose log-likelihood ratio is ``2 * power * z``."""
    z = norm.ppf((np.arange(BINS) + 0.5) / BINS)
    raw = -np.geomspace(3.0, 0.01, BINS)
    right, wrong = np.exp(power * z), np.exp(-power * z)
    return JudgeTable(
        judge="logprob",
        lowest=-20.0,
        highest=0.01,
        edges=tuple(((raw[1:] + raw[:-1]) / 2).tolist()),
        raw=tuple(raw.tolist()),
        z=tuple(z.tolist()),
        f1=tuple((right / right.sum()).tolist()),
        f0=tuple((wrong / wrong.sum()).tolist()),
    )


def segment(**fields: Any) -> SegmentPolicy:
    """A segment that trusts its judge; thresholds are derived by ``policy``."""
    defaults: dict[str, Any] = {
        "mode": "cascade_route",
        "lambda_": 0.3,
        "routing_threshold": 0.0,
        "judge_cutoff": 0.0,
        "trust": "open",
        "dear_if_local_wrong": (Platt(intercept=2.0, slope=0.2),),
        "dear_wrong_if_local_right": (Platt(intercept=-3.0),),
        "typical": Typical(p_hat=(0.5, 0.5)),
    }
    return SegmentPolicy(**(defaults | fields))


def policy(**fields: Any) -> PolicyDocument:
    """A valid document; ``segment={...}`` varies its only segment, other fields the document."""
    varied = fields.pop("segment", {})
    defaults: dict[str, Any] = {
        "version": 1,
        "kind": "proposal",
        "author": "operator",
        "reason": "a test",
        "issued_at": datetime(2026, 1, 1, tzinfo=UTC),
        "objective": QualityTarget(target_quality=0.9),
        "cost_unit_usd": 1e-3,
        "tiers": (
            TierTerms(name="local", input_usd_per_mtok=0.05, output_usd_per_mtok=0.05),
            TierTerms(name="cloud", input_usd_per_mtok=2.5, output_usd_per_mtok=10.0),
        ),
        "estimators": (LinearEstimator(intercept=0.4), LinearEstimator(intercept=1.1)),
        "judge": judge(),
        "segments": (segment(**varied),),
        "audit": AuditTerms(rate=0.1),
        "shadow": ShadowTerms(rate=0.05),
    }
    return issue(**(defaults | fields))


def certificate(score: float, **fields: Any) -> CertifiedCutoff:
    """A certificate of that score, as the objective of ``CERTIFIED`` asks for it."""
    defaults: dict[str, Any] = {
        "least_bin": 10,
        "bins": 50,
        "limit": 0.05,
        "confidence": 0.9,
        "risk": 0.04,
        "delta": 0.05,
        "attempt": 1,
        "labels": 300,
        "losses": 6,
        "accepted": 0.8,
        "judge": "logprob",
        "edges": "0123456789abcdef",
        "local_model": "local-model",
    }
    return CertifiedCutoff(score=score, **(defaults | fields))


CERTIFIED = QualityTarget(target_quality=0.9, wrong_acceptances=WrongAcceptances())


def pool(tiers: int, **fields: Any) -> PolicyDocument:
    """The same of more tiers: between local and cloud the dearer ones are better, but not by much.

    ``segment={...}`` and other fields as for ``policy``.
    """
    plain = policy()
    dear = tiers - 1
    shares = np.linspace(1 / dear, 1, dear)
    between = [
        plain.cloud.replaced(
            name=f"dear{place}",
            input_usd_per_mtok=2.5 * share,
            output_usd_per_mtok=10.0 * share,
        )
        for place, share in enumerate(shares[:-1].tolist(), 1)
    ]
    varied = {
        "dear_if_local_wrong": tuple(
            Platt(intercept=2.0 * share, slope=0.2, dear_slope=1 - share) for share in shares
        ),
        "dear_wrong_if_local_right": (Platt(intercept=-3.0),) * dear,
        "typical": Typical(p_hat=(0.5,) * tiers),
    }
    defaults: dict[str, Any] = {
        "tiers": (plain.local, *between, plain.cloud),
        "estimators": (LinearEstimator(intercept=0.4),) + (LinearEstimator(intercept=1.1),) * dear,
        "segment": varied | fields.pop("segment", {}),
    }
    return policy(**(defaults | fields))
