"""PolicyDocument: the frozen, versioned numbers from which every decision is computed.

A document is validated as a whole: what passes can serve, and a decision is a pure function of
the document, the query's features, the eligible tiers and a seed. ``lambda_`` and ``mode`` decide;
``routing_threshold`` and ``judge_cutoff`` are derived from them for the typical query of a
segment, stand in the document so that a person can read them, and must agree with them.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from dataplane.contract import rule
from dataplane.contract.sections import MOST_TIERS
from dataplane.contract.terms import (
    AuditTerms,
    Frozen,
    JudgeTable,
    LinearEstimator,
    Objective,
    Positive,
    SegmentPolicy,
    ShadowTerms,
    StepLimits,
    TierTerms,
    TrustTerms,
)
from dataplane.features import Features

MAX_BYTES = 1 << 22  # twelve dense estimators fit
GRIDS, GRID = 4, 257  # the threshold is found to 2 ** -32
AGREEMENT = 1e-6  # how far a derived number may be from what lambda and mode give


class PolicyDocument(Frozen):
    """See the module's docstring; JSON of at most ``MAX_BYTES``."""

    schema_: Literal[3] = Field(default=3, alias="schema")
    version: Annotated[int, Field(ge=1)]
    parent: Annotated[int, Field(ge=1)] | None = None
    kind: Literal["retune", "proposal"]
    author: Literal["learner", "operator", "rollback"]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    issued_at: datetime
    objective: Objective
    cost_unit_usd: Positive
    tiers: Annotated[
        tuple[TierTerms, ...], Field(min_length=2, max_length=MOST_TIERS)
    ]  # cheapest first
    estimators: tuple[LinearEstimator, ...]  # one a tier
    judge: JudgeTable
    segments: Annotated[tuple[SegmentPolicy, ...], Field(min_length=1)]
    audit: AuditTerms = AuditTerms()
    shadow: ShadowTerms = ShadowTerms()
    # unsaid where it is usual, so that older documents keep their digests
    trust: Annotated[TrustTerms, Field(exclude_if=lambda terms: terms == TrustTerms())] = (
        TrustTerms()
    )
    streaming: Literal["buffer_judged"] = "buffer_judged"
    compression: Literal["none"] = "none"
    step_limits: StepLimits = StepLimits()

    model_config = ConfigDict(
        serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        drawn = [draws.segment for draws in self.audit.segments]
        for what, names in (
            ("tier", [tier.name for tier in self.tiers]),
            ("segment", [segment.name for segment in self.segments]),
            ("segment's audit", drawn),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"a {what} is named twice: {', '.join(names)}")
        if stray := set(drawn) - {segment.name for segment in self.segments}:
            raise ValueError(f"audit: there is no segment {min(stray)}")
        if self.parent is not None and self.parent >= self.version:
            raise ValueError(f"version {self.version} must be newer than its parent {self.parent}")
        if len(self.estimators) != len(self.tiers):
            raise ValueError(f"{len(self.tiers)} tiers need as many estimators")
        for segment in self.segments:
            self._fits(segment)
            if wrong := self.uncertified(segment):
                raise ValueError(f"segment {segment.name}: {wrong}")
            self._agrees(segment)
        return self

    def _fits(self, segment: SegmentPolicy) -> None:
        if len(segment.typical.p_hat) != len(self.tiers):
            raise ValueError(f"segment {segment.name}: typical.p_hat needs one entry a tier")
        for name in ("dear_if_local_wrong", "dear_wrong_if_local_right"):
            if len(getattr(segment, name)) != len(self.dear):
                raise ValueError(f"segment {segment.name}: {name} needs one entry a dear tier")

    def _agrees(self, segment: SegmentPolicy) -> None:
        threshold, cutoff = self.derive(segment)
        for name, stated, derived in (
            ("routing_threshold", segment.routing_threshold, threshold),
            ("judge_cutoff", segment.judge_cutoff, cutoff),
        ):
            if abs(stated - derived) > AGREEMENT:
                raise ValueError(
                    f"segment {segment.name}: {name} is {stated:.6g}, but mode {segment.mode} and "
                    f"lambda_ {segment.lambda_:.6g} give {derived:.6g}"
                )

    def uncertified(self, segment: SegmentPolicy) -> str | None:
        """Why a segment does not keep to the certificate that is asked for; None: it does."""
        asked, held = self.objective.wrong_acceptances, segment.certificate
        if asked is None:
            return "a certificate that the objective does not ask for" if held else None
        if held is None:
            free = set(segment.modes) - {"always_cloud"}
            return f"without a certificate no mode may accept, not {min(free)}" if free else None
        if (held.limit, held.confidence) != (asked.limit, asked.confidence):
            return "the certificate is not for what the objective asks"
        if held.judge != self.judge.judge:
            return f"the certificate is of judge {held.judge}, not {self.judge.judge}"
        if not self.judge.lowest <= held.score <= self.judge.highest:
            return "the certified score must lie within the judge's lowest and highest"
        unjudged = set(segment.modes) & {"route", "always_local"}
        return f"{min(unjudged)} accepts what was not judged" if unjudged else None

    @property
    def local(self) -> TierTerms:
        """The cheapest tier, the only one that is judged."""
        return self.tiers[0]

    @property
    def dear(self) -> tuple[TierTerms, ...]:
        """All tiers but the local one, from the cheapest to the dearest."""
        return self.tiers[1:]

    @property
    def cloud(self) -> TierTerms:
        """The dearest tier: what ``always_cloud`` serves."""
        return self.tiers[-1]

    def segment(self, name: str) -> SegmentPolicy:
        """The segment of that name, or the first one."""
        return next((s for s in self.segments if s.name == name), self.segments[0])

    def weighed_usd(
        self, tier: TierTerms, prompt_chars: float | rule.Array, category: int | rule.Places = 0
    ) -> float | rule.Array:
        """Expected price of a call and of the wait for it, at the objective's price of a second."""
        waiting = self.objective.latency_usd_per_s * tier.latency_s
        return tier.expected_cost_usd(prompt_chars, category) + waiting

    def costs(
        self, prompt_chars: float | rule.Array, category: int | rule.Places = 0
    ) -> rule.Costs:
        """Expected costs of a query in units of ``cost_unit_usd``, waiting included; broadcasts."""
        unit = self.cost_unit_usd
        judging = self.judge.cost_usd + self.objective.latency_usd_per_s * self.judge.latency_s
        return rule.Costs(
            local=self.weighed_usd(self.local, prompt_chars, category) / unit,
            judge=judging / unit,
            dear=tuple(self.weighed_usd(tier, prompt_chars, category) / unit for tier in self.dear),
        )

    def bills(
        self, prompt_chars: float | rule.Array, category: int | rule.Places = 0
    ) -> rule.Costs:
        """What a query is expected to be charged for each call, USD; broadcasts."""
        return rule.Costs(
            local=self.local.expected_bill_usd(prompt_chars, category),
            judge=self.judge.cost_usd,
            dear=tuple(tier.expected_bill_usd(prompt_chars, category) for tier in self.dear),
        )

    def p_hat(self, features: Features) -> rule.Array:
        """(tiers,) what each tier's estimator says of a query."""
        return np.array([each.p_hat(features) for each in self.estimators])

    def beliefs(self, segment: SegmentPolicy, p_hat: rule.Array) -> rule.Beliefs:
        """What this document believes of queries of this ``p_hat``, (..., tiers)."""
        return segment.beliefs(self.judge, p_hat)

    def derive(self, segment: SegmentPolicy) -> tuple[float, float]:
        """``routing_threshold`` and ``judge_cutoff`` of a segment from its lambda and mode."""
        if segment.mode == "always_cloud":
            return 1.0, self.judge.highest
        if segment.mode == "always_local":
            return 0.0, self.judge.lowest
        costs = self.costs(segment.typical.prompt_chars)
        beliefs = self.beliefs(segment, np.array(segment.typical.p_hat))
        return self._threshold(segment, costs), self.cutoff(beliefs, costs, segment.lambda_)

    def cutoff(self, beliefs: rule.Beliefs, costs: rule.Costs, lambda_: float) -> float:
        """The raw score below which a query with these beliefs escalates."""
        judge = self.judge
        at = rule.cutoff(beliefs, costs, lambda_, judge.bins.raw, judge.lowest, judge.highest)
        return float(at)

    def _threshold(self, segment: SegmentPolicy, costs: rule.Costs) -> float:
        """The local p_hat below which the typical query goes to a dear tier, by ever finer grids.

        Where g falls for hopeless queries there may be two fixed points of ``rule.indifference``:
        the higher one is meant.
        """
        low, high = 0.0, 1.0
        for _ in range(GRIDS):
            grid = np.linspace(low, high, GRID)
            p_hat = np.tile(segment.typical.p_hat, (GRID, 1))
            p_hat[:, 0] = grid
            beliefs = self.beliefs(segment, p_hat)
            below = beliefs.p < rule.indifference(beliefs, costs, segment.lambda_)
            if not below.any():
                return low
            last = int(np.flatnonzero(below)[-1])
            low, high = float(grid[last]), float(grid[min(last + 1, GRID - 1)])
        return (low + high) / 2

    def rederived(self) -> Self:
        """The same document with the thresholds and cutoffs that its lambdas and modes give."""
        segments = []
        for segment in self.segments:
            threshold, cutoff = self.derive(segment)
            segments.append(segment.replaced(routing_threshold=threshold, judge_cutoff=cutoff))
        return self.replaced(segments=tuple(segments))

    def to_json(self) -> bytes:
        """Canonical JSON: same document, same bytes."""
        return self.model_dump_json().encode()

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, document: bytes | str) -> Self:
        """Parse and validate; raises ``ValueError`` with the reason."""
        if len(document) > MAX_BYTES:
            raise ValueError(f"policy of {len(document)} bytes: at most {MAX_BYTES} are accepted")
        return cls.model_validate_json(document)


def issue(**fields: Any) -> PolicyDocument:
    """A new document whose thresholds and cutoffs are derived, whatever its segments state."""
    return PolicyDocument.model_construct(**fields).rederived()
