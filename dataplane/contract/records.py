"""Records: what the data plane writes down of a query, and what was later learned of it.

Each class is one row of one table; its fields are the table's columns. ``at`` is the decision's
on every row, the millisecond within the decision's UUIDv7: it is the partition key, so all that
belongs to one decision lies in one day. Shapes are checked here, once; tables do not check them.
"""

import math
from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias
from uuid import UUID, uuid5

from pydantic import (
    UUID7,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)
from uuid_utils.compat import uuid7

Purpose: TypeAlias = Literal["serve", "router", "judge", "shadow", "audit"]
Source: TypeAlias = Literal["ground_truth", "verifier", "feedback", "reference"]

SET_BACK_MS = 1000  # an id that is so far ahead of the clock is of before it was set back

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_PMF_TOLERANCE = 1e-9


def storable(text: Any) -> Any:
    """The string with what Postgres cannot store (NUL, lone surrogates) replaced."""
    if not isinstance(text, str):
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


Foreign: TypeAlias = Annotated[str, BeforeValidator(storable)]  # text that others chose
Name: TypeAlias = Annotated[Foreign, Field(min_length=1)]
Action: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(call:.+|judge|reply)$")]
Probability: TypeAlias = Annotated[float, Field(ge=0, le=1)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 31)]
Version: TypeAlias = Annotated[int, Field(ge=1, lt=1 << 31)]


def new_decision_id() -> UUID:
    """A fresh UUIDv7: ids sort by time, and carry their decision's ``at``.

    They ascend within a process, but where its clock was set back: then they go back with it.
    """
    fresh, now_ns = uuid7(), time_ns()
    ahead_ms = (fresh.int >> 80) - now_ns // 1_000_000
    return uuid7(nanoseconds=now_ns) if ahead_ms > SET_BACK_MS else fresh


def millisecond(uuid: UUID) -> datetime:
    """The instant within a UUIDv7 (RFC 9562, section 5.7), in UTC, exact to the millisecond.

    Raises ``ValueError`` where it lies past the year 9999.
    """
    try:
        return _EPOCH + (uuid.int >> 80) * _MILLISECOND
    except OverflowError:
        raise ValueError(f"{uuid} is of no representable time") from None


def outcome_id(decision_id: UUID, key: str, source: Source, labeller: str) -> UUID:
    """One vote per decision, answer, source and labeller: said again, it is the same row."""
    return uuid5(decision_id, f"{key}|{source}|{labeller}")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Decision(_Row):
    """A query at its admission: all that its actions were computed from."""

    table: ClassVar[str] = "decisions"

    id: UUID7
    at: AwareDatetime
    tenant: Name
    conversation: Foreign | None = None
    request_id: Name
    policy_version: Version
    feature_version: Version
    features: dict[str, JsonValue]
    segment: Name
    eligible: tuple[Name, ...]
    excluded: dict[Name, Foreign] = {}
    sticky_tier: Name | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)]

    @model_validator(mode="after")
    def _of_its_time(self) -> Self:
        _check_at(self.at, self.id)
        return self


class _Child(_Row):
    """A row that belongs to a decision."""

    decision_id: UUID7
    at: AwareDatetime

    @model_validator(mode="after")
    def _of_its_decision(self) -> Self:
        _check_at(self.at, self.decision_id)
        return self


def _check_at(at: datetime, decision_id: UUID) -> None:
    expected = millisecond(decision_id)
    if at != expected or at.utcoffset():
        raise ValueError(f"at is {at.isoformat()}, the decision's id says {expected.isoformat()}")


class StepState(_Row):
    """What was known of a query before a step: which tiers had answered, what the judge said."""

    answered: tuple[str, ...] = ()
    score: float | None = None
    judged: bool = False


class Step(_Child):
    """One action: drawn from ``pmf``, which is what sampled it and what is scored later."""

    table: ClassVar[str] = "steps"

    index: Count
    state: StepState
    pmf: dict[Action, Probability]
    action: Action
    propensity: Annotated[float, Field(gt=0, le=1)]
    threshold: float | None = None
    values: dict[str, float] = {}

    @model_validator(mode="after")
    def _drawn_from_its_pmf(self) -> Self:
        total = math.fsum(self.pmf.values())
        if abs(total - 1) > _PMF_TOLERANCE:
            raise ValueError(f"pmf sums to {total!r}, not 1")
        if self.pmf.get(self.action) != self.propensity:
            raise ValueError(f"propensity {self.propensity!r} is not the pmf's of {self.action}")
        return self


class Attempt(_Child):
    """One call of a tier, whatever its purpose and however it ended."""

    table: ClassVar[str] = "attempts"

    index: Count
    tier: Name
    model: Name
    purpose: Purpose
    prompt_tokens: Count
    completion_tokens: Count
    tokens_exact: bool
    cost_usd: NonNegative
    latency_ms: NonNegative
    ttft_ms: NonNegative | None = None
    tokens_per_s: NonNegative | None = None
    finish: Name
    compression_version: Count | None = None
    tokens_before: Count | None = None
    tokens_after: Count | None = None
    error: Foreign | None = None


class JudgeScore(_Child):
    """A proxy grade of one answer: as the judge gave it, its bin, and as the policy read it."""

    table: ClassVar[str] = "judge_scores"

    index: Count
    purpose: Literal["serve", "shadow"]
    judge: Name
    tier: Name
    raw: float
    bin: Count
    calibrated: Probability


class Completion(_Child):
    """The end of a query. Costs are summed over its attempts so far, of every purpose."""

    table: ClassVar[str] = "completions"

    final_tier: Name | None = None
    escalated: bool
    cost_usd: NonNegative
    latency_ms: NonNegative
    overhead_ms: NonNegative
    status: Literal["ok", "error", "aborted"]
    error: Foreign | None = None

    @model_validator(mode="after")
    def _ok_is_answered(self) -> Self:
        if self.status == "ok" and self.final_tier is None:
            raise ValueError("a completion with status ok must name its final_tier")
        return self


class Draw(_Child):
    """A completed query drawn for ground truth or a shadow answer, and with what probability.

    ``rival``: the version of a policy that might have served it otherwise, where that is why it
    would have been drawn in any case (``contract.publication``).
    """

    table: ClassVar[str] = "draws"

    kind: Literal["audit", "shadow"]
    tier: Name | None = None
    probability: Annotated[float, Field(gt=0, le=1)]
    rival: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _a_shadow_calls_a_tier(self) -> Self:
        if (self.kind == "shadow") != (self.tier is not None):
            raise ValueError("a shadow draw names the tier that it calls, an audit draw names none")
        return self


class Outcome(_Child):
    """What was later learned of an answer; ``at`` is the decision's, ``observed_at`` its own."""

    table: ClassVar[str] = "outcomes"

    id: UUID
    key: Name
    source: Source
    value: Probability
    labeller: Name
    observed_at: AwareDatetime

    @model_validator(mode="after")
    def _one_vote(self) -> Self:
        if self.id != outcome_id(self.decision_id, self.key, self.source, self.labeller):
            raise ValueError("id is not outcome_id(decision_id, key, source, labeller)")
        if self.observed_at.utcoffset():
            raise ValueError(f"observed_at must be in UTC, not {self.observed_at.isoformat()}")
        return self


class Text(_Child):
    """A prompt or an answer in words, kept for a drawn query until its draw is resolved.

    ``options``: what the request asked for beside its messages, so that a shadow is asked alike.
    """

    table: ClassVar[str] = "texts"

    key: Annotated[str, StringConstraints(pattern=r"^(prompt|options|answer:.+)$")]
    body: Foreign


Record: TypeAlias = Decision | Step | Attempt | JudgeScore | Completion | Draw | Outcome | Text

KINDS: dict[str, type[Record]] = {
    kind.table: kind
    for kind in (Decision, Step, Attempt, JudgeScore, Completion, Draw, Outcome, Text)
}
