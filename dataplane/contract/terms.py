"""The parts of a policy document, each validated on its own."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dataplane.contract import rule
from dataplane.features import BUCKETS, CATEGORIES, FEATURE_VERSION, Features

Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Category = Annotated[int, Field(ge=1, le=CATEGORIES)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Mode = Literal["route", "cascade", "cascade_route", "always_cloud", "always_local"]
Trust = Literal["open", "closed"]  # open: the judge may decide
Accepted: TypeAlias = Literal["ground_truth", "verifier", "reference"]
TRUSTED: tuple[Accepted, ...] = ("ground_truth", "verifier")
HELD_OUT = 0.1  # share of the labels that nothing is learned from


def accepted(sources: tuple[Accepted, ...]) -> tuple[Accepted, ...]:
    """Sources of labels in their order; raises ``ValueError`` where people's are missing."""
    if "ground_truth" not in sources:
        raise ValueError("must hold ground_truth: people's labels are always accepted")
    return tuple(source for source in get_args(Accepted) if source in sources)


Accepts: TypeAlias = Annotated[tuple[Accepted, ...], AfterValidator(accepted)]


class Frozen(BaseModel):
    """Immutable, closed, without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replaced(self, **fields: Any) -> Self:
        """A validated copy with these fields instead; nothing cached comes along."""
        kept = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate(kept | fields)


class WrongAcceptances(Frozen):
    """At most ``limit`` of quality lost to wrong acceptances, at ``confidence``.

    The loss is the share of all queries whose local answer is served, is wrong, and would have
    been right from the dearest tier. Where this is asked for, no local answer is served whose score
    is below a certified one, and none at all while there is no certificate.
    """

    limit: Annotated[float, Field(gt=0, lt=1)] = 0.05
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9


class Terms(Frozen):
    """What every objective states: how sure figures are, what a second of waiting is worth, and
    whose labels are the truth. A ``reference`` model's are a proxy: only where it says so.
    ``wrong_acceptances``: where a certificate is asked for.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    latency_usd_per_s: NonNegative = 0.0
    # unsaid where it is usual, so that older documents keep their digests
    accepts: Annotated[Accepts, Field(exclude_if=lambda accepts: accepts == TRUSTED)] = TRUSTED
    wrong_acceptances: Annotated[
        WrongAcceptances | None, Field(exclude_if=lambda asked: asked is None)
    ] = None


class QualityTarget(Terms):
    """Reach ``target_quality``, less ``tolerance``, at the least cost.

    By ``reference`` it is a share of right answers, or a share of always-cloud's right answers.
    """

    kind: Literal["quality"] = "quality"
    target_quality: Probability
    reference: Literal["ground_truth", "always_cloud"] = "ground_truth"
    tolerance: Probability = 0.02


class CostCeiling(Terms):
    """Reach the best quality whose mean bill stays under a ceiling.

    The bill is that of serving: shadows and labels are apart, waiting is no money, and a tier of
    ``billing: none`` adds nothing.
    """

    kind: Literal["cost"] = "cost"
    ceiling_usd_per_query: Positive


Objective: TypeAlias = Annotated[QualityTarget | CostCeiling, Field(discriminator="kind")]


class TierTerms(Frozen):
    """A tier's price when the policy was issued, and what a query is expected to use of it.

    ``billing: none`` keeps the price in the rule and out of the money totals.
    """

    name: Name
    input_usd_per_mtok: NonNegative
    output_usd_per_mtok: NonNegative
    billing: Literal["tokens", "none"] = "tokens"
    chars_per_token: Positive = 4.0
    overhead_tokens: NonNegative = 0.0
    completion_tokens: NonNegative = 100.0
    latency_s: NonNegative = 0.0  # of one call, as expected
    # by how much more calls cost than all that has it: on the whole, and in categories
    cost_factor: Annotated[Positive, Field(exclude_if=lambda factor: factor == 1.0)] = 1.0
    category_factors: Annotated[
        tuple[tuple[Category, Positive], ...], Field(exclude_if=lambda factors: not factors)
    ] = ()

    @model_validator(mode="after")
    def _told_once(self) -> Self:
        categories = [category for category, _ in self.category_factors]
        if len(set(categories)) != len(categories):
            raise ValueError(f"tier {self.name}: category_factors tell of a category twice")
        return self

    def expected_cost_usd(
        self, prompt_chars: float | rule.Array, category: int | rule.Places = 0
    ) -> float | rule.Array:
        """Expected cost of one call, from past tokens and never from the realised length."""
        prompt_tokens = self.overhead_tokens + prompt_chars / self.chars_per_token
        spent = prompt_tokens * self.input_usd_per_mtok
        usd = (spent + self.completion_tokens * self.output_usd_per_mtok) / 1e6
        return usd * self._factors.values[category]

    @cached_property
    def _factors(self) -> "Dense":
        factors = np.full(CATEGORIES + 1, self.cost_factor)
        for category, factor in self.category_factors:
            factors[category] = factor
        return Dense(factors)

    def expected_bill_usd(
        self, prompt_chars: float | rule.Array, category: int | rule.Places = 0
    ) -> float | rule.Array:
        """What one call is expected to be charged; 0 where the tier is not billed."""
        usd = self.expected_cost_usd(prompt_chars, category)
        return 0.0 * usd if self.billing == "none" else usd

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What a call that used these tokens is charged; 0 where the tier is not billed."""
        if self.billing == "none":
            return 0.0
        spent = prompt_tokens * self.input_usd_per_mtok
        return (spent + completion_tokens * self.output_usd_per_mtok) / 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A table that is kept: not a bare array, for those have no plain equality."""

    values: rule.Array


class LinearEstimator(Frozen):
    """p_hat of one tier: logistic over hashed features (``dataplane.features``)."""

    feature_version: int = FEATURE_VERSION
    intercept: float = 0.0
    buckets: tuple[Annotated[int, Field(ge=0, lt=BUCKETS)], ...] = ()
    weights: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if self.feature_version != FEATURE_VERSION:
            raise ValueError(f"estimator: only feature version {FEATURE_VERSION} is known")
        if len(self.buckets) != len(self.weights):
            raise ValueError("estimator: buckets and weights differ in length")
        if len(set(self.buckets)) != len(self.buckets):
            raise ValueError("estimator: a bucket appears twice")
        return self

    @property
    def table(self) -> rule.Array:
        """(BUCKETS,) the weight of each bucket."""
        return self._dense.values

    @cached_property
    def _dense(self) -> Dense:
        weights = np.zeros(BUCKETS)
        weights[list(self.buckets)] = self.weights
        return Dense(weights)

    def log_odds(self, features: Features) -> float:
        """Log-odds that the tier answers rightly, before calibration."""
        total = float(self.table.take(features.buckets).sum()) if features.buckets else 0.0
        return self.intercept + features.weight * total

    def p_hat(self, features: Features) -> float:
        """Predicted probability that the tier answers rightly, before calibration."""
        return float(rule.expit(self.log_odds(features)))


class Platt(Frozen):
    """logit P = intercept + slope * logit p + z_slope * z + dear_slope * logit q.

    ``p`` is of the local tier, ``z`` of the judge's bin, ``q`` a dear tier's p_hat.
    """

    intercept: float = 0.0
    slope: float = 0.0
    z_slope: float = 0.0
    dear_slope: float = 0.0

    def probability(
        self,
        log_odds: float | rule.Array,
        z: float | rule.Array = 0.0,
        dear_log_odds: float | rule.Array = 0.0,
    ) -> rule.Array:
        """P at these log-odds and normal scores, which broadcast."""
        told = self.slope * log_odds + self.z_slope * z + self.dear_slope * dear_log_odds
        return rule.expit(self.intercept + told)


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """A judge table's columns as arrays: ``edges`` (K - 1), the others (K,)."""

    edges: rule.Array
    raw: rule.Array
    z: rule.Array
    f1: rule.Array
    f0: rule.Array


class JudgeTable(Frozen):
    """How a judge's raw score bears on whether the local answer is right, bin by bin.

    ``edges`` (K - 1) part the raw scores into K bins; ``raw`` (K) are scores that stand for the
    bins, ``z`` (K) their normal scores; ``f1`` and ``f0`` (K) are P(bin | right), P(bin | wrong).
    """

    judge: Name
    lowest: float
    highest: float
    edges: tuple[float, ...]
    raw: tuple[float, ...]
    z: tuple[float, ...]
    f1: tuple[Probability, ...]
    f0: tuple[Probability, ...]
    cost_usd: NonNegative = 0.0
    latency_s: NonNegative = 0.0  # of judging one answer, as expected

    @model_validator(mode="after")
    def _whole(self) -> Self:
        bins = len(self.edges) + 1
        for name in ("raw", "z", "f1", "f0"):
            if len(getattr(self, name)) != bins:
                raise ValueError(f"judge: {name} needs {bins} entries, one a bin")
        for name in ("edges", "raw", "z"):
            if not all(low < high for low, high in pairwise(getattr(self, name))):
                raise ValueError(f"judge: {name} must ascend")
        for name in ("f1", "f0"):
            if not math.isclose(sum(getattr(self, name)), 1.0, abs_tol=1e-9):
                raise ValueError(f"judge: {name} must sum to 1")
        if not self.lowest <= self.raw[0] <= self.raw[-1] <= self.highest:
            raise ValueError("judge: raw must lie within lowest and highest")
        return self

    def bin(self, score: float) -> int:
        """The bin of a raw score, 0 .. K - 1."""
        return int(np.searchsorted(self.bins.edges, score, side="right"))

    def clip(self, score: float) -> float:
        """The score within [lowest, highest]."""
        return float(self.clipped(score))

    def clipped(self, score: float | rule.Array) -> rule.Array:
        """Scores within [lowest, highest]; NaN stays NaN."""
        return np.clip(np.asarray(score, dtype=np.float64), self.lowest, self.highest)

    def weights(self, score: rule.Array) -> rule.Array:
        """(N, K) Weights of the bins that interpolate between their raw points; NaN as the first.

        Beyond the outermost points they are those of the outermost.
        """
        raw = self.bins.raw
        at = np.clip(np.nan_to_num(score, nan=raw[0]), raw[0], raw[-1])
        above = np.clip(np.searchsorted(raw, at, side="right"), 1, len(raw) - 1)
        share = (at - raw[above - 1]) / (raw[above] - raw[above - 1])
        rows = np.arange(len(score))
        weights = np.zeros((len(score), len(raw)))
        weights[rows, above - 1] = 1 - share
        weights[rows, above] = share
        return weights

    @cached_property
    def bins(self) -> Bins:
        """The table as arrays."""
        return Bins(
            *(np.asarray(getattr(self, name)) for name in ("edges", "raw", "z", "f1", "f0"))
        )


class Arm(Frozen):
    """One (routing threshold, judge cutoff) pair, by its coordinate, and its share of serving."""

    mode: Mode
    lambda_: NonNegative
    weight: Annotated[float, Field(gt=0, le=1)]


class Typical(Frozen):
    """The query for which a segment's threshold and cutoff are stated; ``p_hat`` of each tier."""

    p_hat: tuple[Annotated[float, Field(gt=0, lt=1)], ...]
    prompt_chars: NonNegative = 100.0


class CertifiedCutoff(Frozen):
    """The raw ``score`` below which nothing is accepted, and what shows that this is enough.

    ``risk`` bounds the share of queries lost to wrong acceptances at or above it, at confidence
    1 - ``delta``, this ``attempt``'s share of what the objective allows for all attempts; it comes
    from ``losses`` among ``labels`` queries, of which ``accepted`` lie at or above. ``least_bin``
    of ``bins`` begins at the score. Void with ``judge``, ``edges`` (a digest) or either model.
    """

    score: float
    least_bin: Annotated[int, Field(ge=0)]
    bins: Annotated[int, Field(ge=1)]
    limit: Probability
    confidence: Probability
    risk: Probability
    delta: Annotated[float, Field(gt=0, lt=1)]
    attempt: Annotated[int, Field(ge=1)]
    labels: Annotated[int, Field(ge=1)]
    losses: Annotated[int, Field(ge=0)]
    accepted: Probability
    judge: Name
    edges: Name
    local_model: str
    cloud_model: Annotated[str, Field(exclude_if=lambda model: not model)] = ""

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.risk > self.limit:
            raise ValueError(f"certificate: its risk {self.risk:.4g} exceeds {self.limit:.4g}")
        if self.losses > self.labels:
            raise ValueError("certificate: more losses than labels")
        return self


class SegmentPolicy(Frozen):
    """How the queries of one segment are decided.

    ``dear_if_local_wrong`` (g) and ``dear_wrong_if_local_right`` (b) have one entry a dear tier.
    ``trial_lambda``: at which the judge is on trial, while trust is closed: nobody is served by it.
    ``certificate``: what bounds the acceptances, where the objective asks for that.
    """

    name: Name = "default"
    mode: Mode
    lambda_: NonNegative
    routing_threshold: Probability
    judge_cutoff: float
    trust: Trust = "closed"
    trial_lambda: Annotated[Positive | None, Field(exclude_if=lambda at: at is None)] = None
    calibration: Platt = Platt(slope=1.0)
    dear_if_local_wrong: tuple[Platt, ...]
    dear_wrong_if_local_right: tuple[Platt, ...]
    typical: Typical
    arms: tuple[Arm, ...] = ()
    certificate: Annotated[
        CertifiedCutoff | None, Field(exclude_if=lambda certificate: certificate is None)
    ] = None

    @model_validator(mode="after")
    def _serveable(self) -> Self:
        if self.calibration.slope <= 0:
            raise ValueError(f"segment {self.name}: calibration.slope must be positive")
        if self.calibration.z_slope != 0 or self.calibration.dear_slope != 0:
            raise ValueError(f"segment {self.name}: calibration takes no z_slope, no dear_slope")
        if self.arms and not math.isclose(sum(a.weight for a in self.arms), 1.0, abs_tol=1e-9):
            raise ValueError(f"segment {self.name}: arm weights must sum to 1")
        if self.trust == "closed" and self.judges:
            raise ValueError(f"segment {self.name}: trust is closed, so no mode may use the judge")
        if self.trust == "open" and self.trial_lambda is not None:
            raise ValueError(f"segment {self.name}: trust is open, so the judge is not on trial")
        return self

    @property
    def judges(self) -> bool:
        """Whether any arm may ask the judge."""
        return any(mode in ("cascade", "cascade_route") for mode in self.modes)

    @property
    def judging(self) -> "SegmentPolicy | None":
        """The segment as it judges, or would if trust were open; None: it does not judge."""
        if self.trust == "open":
            return self if self.judges else None
        if self.trial_lambda is None:
            return None
        return self.replaced(
            mode="cascade_route", lambda_=self.trial_lambda, trust="open", trial_lambda=None
        )

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that may serve."""
        return tuple(arm.mode for arm in self.arms) or (self.mode,)

    def beliefs(self, judge: JudgeTable, p_hat: rule.Array) -> rule.Beliefs:
        """What is believed of queries of this ``p_hat``, (..., tiers)."""
        bins = judge.bins
        told = rule.logit(p_hat)
        p = self.calibration.probability(told[..., 0])
        log_odds = rule.logit(p)[..., None]
        dear = [told[..., tier, None] for tier in range(1, told.shape[-1])]
        g, b = (
            [platt.probability(log_odds, bins.z, q) for platt, q in zip(platts, dear, strict=True)]
            for platts in (self.dear_if_local_wrong, self.dear_wrong_if_local_right)
        )
        held = self.certificate
        floor = None if held is None else rule.Floor.at(held.score, bins.raw)
        return rule.believe(p, bins.f1, bins.f0, g, b, floor)


class SegmentDraws(Frozen):
    """How the audit draws a segment's queries: each with probability ``uniform``, and ``slope``
    times its interest more (``dataplane.strategies.interest``).

    ``most``: the mean that the budget leaves. ``width``: how far from a threshold, in quality, a
    query is of no interest.
    """

    segment: Name = "default"
    most: Annotated[float, Field(gt=0, le=1)] = 1.0
    uniform: Annotated[float, Field(gt=0, le=1)]
    slope: Probability = 0.0
    width: Positive = 0.1

    @model_validator(mode="after")
    def _probabilities(self) -> Self:
        if self.greatest > 1:
            raise ValueError(f"segment {self.segment}: uniform and slope are more than 1 together")
        if self.uniform > self.most:
            raise ValueError(f"segment {self.segment}: uniform is more than the budget's most")
        return self

    @property
    def greatest(self) -> float:
        """The probability of a query of the greatest interest; ``uniform`` is the least one."""
        return self.uniform + self.slope


class AuditTerms(Frozen):
    """Ground truth: the share of completed queries whose served answer is labelled.

    ``rate`` is meant to be the mean of every segment, unless its ``most`` is less; a segment that
    is not named is drawn uniformly. A share ``held_out`` of the labels is not learned from.
    """

    rate: Probability = 0.0
    label_price_usd: NonNegative = 0.0
    # unsaid where they are usual, so that older documents keep their digests
    held_out: Annotated[float, Field(ge=0, lt=1, exclude_if=lambda share: share == HELD_OUT)] = (
        HELD_OUT
    )
    segments: Annotated[tuple[SegmentDraws, ...], Field(exclude_if=lambda draws: not draws)] = ()

    @model_validator(mode="after")
    def _drawn_at_all(self) -> Self:
        if self.segments and not self.rate:
            raise ValueError("audit: segments are drawn, but rate is 0")
        return self

    def of(self, segment: str) -> SegmentDraws | None:
        """How that segment is drawn; None: nothing of it is."""
        usual = SegmentDraws(segment=segment, uniform=self.rate) if self.rate else None
        return next((each for each in self.segments if each.segment == segment), usual)

    def mean(self, segment: str) -> float:
        """What the mean probability of that segment is meant to be."""
        draws = self.of(segment)
        return min(self.rate, draws.most) if draws else 0.0


UNDECIDED = 0.2


class ShadowTerms(Frozen):
    """The share of completed queries whose unserved tiers answer too, unseen by the client.

    ``undecided``: at least that, and as many audits, while it is open whether the judge is trusted.
    """

    rate: Probability = 0.0
    # unsaid where it is usual, so that older documents keep their digests
    undecided: Annotated[Probability, Field(exclude_if=lambda at: at == UNDECIDED)] = UNDECIDED


class TrustTerms(Frozen):
    """What serves while the judge is not trusted, and whether its opening wants an operator's yes.

    ``route``: by p_hat alone, as the learner finds it.
    """

    while_closed: Literal["route", "always_cloud"] = "route"
    opens: Literal["by_itself", "when_accepted"] = "by_itself"


class StepLimits(Frozen):
    """How far one retune may go from its parent."""

    log_lambda: Positive = 10.0
