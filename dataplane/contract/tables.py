"""The tables of records, one class a record, column by column as in ``records.py``.

Every row also carries its source: the plane, the spool segment and the offset it was read from
(``spool_segment``, since a decision's ``segment`` is a slice of traffic). The tables are
partitioned by ``at``, a day each. Table classes do not validate: parse with the record first.
``migrations/`` builds the same schema, and a test compares the two.
"""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Double, Index, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

Words = Annotated[str, Field(sa_type=Text)]
MaybeWords = Annotated[str | None, Field(sa_type=Text)]
Names = Annotated[list[str], Field(sa_type=ARRAY(Text))]
Json = Annotated[Any, Field(sa_type=JSONB)]
Long = Annotated[int, Field(sa_type=BigInteger)]
Real = Annotated[float, Field(sa_type=Double)]
MaybeReal = Annotated[float | None, Field(sa_type=Double)]
Moment = Annotated[datetime, Field(sa_type=DateTime(timezone=True))]
MaybeMoment = Annotated[datetime | None, Field(sa_type=DateTime(timezone=True))]
Key = Annotated[str, Field(sa_type=Text, primary_key=True)]
LongKey = Annotated[int, Field(sa_type=BigInteger, primary_key=True)]
MomentKey = Annotated[datetime, Field(sa_type=DateTime(timezone=True), primary_key=True)]
IdKey = Annotated[UUID, Field(primary_key=True)]
VersionKey = Annotated[int, Field(primary_key=True, sa_column_kwargs={"autoincrement": False})]

DAILY = {"postgresql_partition_by": "RANGE (at)"}
PARTITION = re.compile(r"(?P<table>.+)_(default|p\d{8})")  # how the partitions are called


def probability(column: str) -> CheckConstraint:
    """In [0, 1]; NaN, which Postgres sorts above every number, is not."""
    return CheckConstraint(f"{column} >= 0 AND {column} <= 1", name=f"{column}_is_a_probability")


def drawn(column: str) -> CheckConstraint:
    """In (0, 1]: what had no chance was not drawn."""
    return CheckConstraint(f"{column} > 0 AND {column} <= 1", name=f"{column}_is_positive")


def amount(column: str) -> CheckConstraint:
    """Finite and not negative."""
    return CheckConstraint(f"{column} >= 0 AND {column} < 'Infinity'", name=f"{column}_is_finite")


def one_of(column: str, *values: str) -> CheckConstraint:
    """One of a few words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


class Sourced(SQLModel):
    """Where a row was read from."""

    plane: Words
    spool_segment: Long
    offset: Long


class DecisionRow(Sourced, table=True):
    """``records.Decision``."""

    __tablename__ = "decisions"
    __table_args__ = (CheckConstraint("seed >= 0", name="seed_is_not_negative"), DAILY)

    at: MomentKey
    id: IdKey
    tenant: Words
    conversation: MaybeWords = None
    request_id: Words
    policy_version: int
    feature_version: int
    features: Json
    segment: Words
    eligible: Names
    excluded: Json
    sticky_tier: MaybeWords = None
    seed: Long


class StepRow(Sourced, table=True):
    """``records.Step``."""

    __tablename__ = "steps"
    __table_args__ = (drawn("propensity"), DAILY)

    at: MomentKey
    decision_id: IdKey
    index: int = Field(primary_key=True)
    state: Json
    pmf: Json
    action: Words
    propensity: Real
    threshold: MaybeReal = None
    values: Json


class AttemptRow(Sourced, table=True):
    """``records.Attempt``."""

    __tablename__ = "attempts"
    __table_args__ = (
        one_of("purpose", "serve", "router", "judge", "shadow", "audit"),
        amount("cost_usd"),
        amount("latency_ms"),
        CheckConstraint("prompt_tokens >= 0 AND completion_tokens >= 0", name="tokens_are_counts"),
        Index("attempts_by_source", "plane", "spool_segment", "offset"),
        DAILY,
    )

    at: MomentKey
    decision_id: IdKey
    purpose: Key
    index: int = Field(primary_key=True)
    tier: Words
    model: Words
    prompt_tokens: int
    completion_tokens: int
    tokens_exact: bool
    cost_usd: Real
    latency_ms: Real
    ttft_ms: MaybeReal = None
    tokens_per_s: MaybeReal = None
    finish: Words
    compression_version: int | None = None
    tokens_before: int | None = None
    tokens_after: int | None = None
    error: MaybeWords = None


class JudgeScoreRow(Sourced, table=True):
    """``records.JudgeScore``."""

    __tablename__ = "judge_scores"
    __table_args__ = (one_of("purpose", "serve", "shadow"), probability("calibrated"), DAILY)

    at: MomentKey
    decision_id: IdKey
    purpose: Key
    index: int = Field(primary_key=True)
    judge: Words
    tier: Words
    raw: Real
    bin: int
    calibrated: Real


class CompletionRow(Sourced, table=True):
    """``records.Completion``: the observer reads these by plane, spool segment and offset."""

    __tablename__ = "completions"
    __table_args__ = (
        one_of("status", "ok", "error", "aborted"),
        amount("cost_usd"),
        amount("latency_ms"),
        amount("overhead_ms"),
        Index("completions_by_source", "plane", "spool_segment", "offset"),
        DAILY,
    )

    at: MomentKey
    decision_id: IdKey
    final_tier: MaybeWords = None
    escalated: bool
    cost_usd: Real
    latency_ms: Real
    overhead_ms: Real
    status: Words
    error: MaybeWords = None


class DrawRow(Sourced, table=True):
    """``records.Draw``: only what was drawn has a row, one a decision, kind and tier."""

    __tablename__ = "draws"
    __mapper_args__ = {"primary_key": ["at", "decision_id", "kind", "tier"]}
    __table_args__ = (
        UniqueConstraint(
            "at",
            "decision_id",
            "kind",
            "tier",
            name="one_a_tier",
            postgresql_nulls_not_distinct=True,
        ),
        one_of("kind", "audit", "shadow"),
        drawn("probability"),
        CheckConstraint("(kind = 'shadow') = (tier IS NOT NULL)", name="a_shadow_calls_a_tier"),
        DAILY,
    )

    at: Moment
    decision_id: UUID
    kind: Words
    tier: MaybeWords = None
    probability: Real
    rival: int | None = None


class OutcomeRow(Sourced, table=True):
    """``records.Outcome``; ``id`` makes a vote that is repeated the same row."""

    __tablename__ = "outcomes"
    __table_args__ = (
        one_of("source", "ground_truth", "verifier", "feedback", "reference"),
        probability("value"),
        Index("outcomes_by_decision", "at", "decision_id"),
        Index("outcomes_by_source", "plane", "spool_segment", "offset"),
        DAILY,
    )

    at: MomentKey
    id: IdKey
    decision_id: UUID
    key: Words
    source: Words
    value: Real
    labeller: Words
    observed_at: Moment


class TextRow(Sourced, table=True):
    """``records.Text``: deleted when the query's draw is resolved."""

    __tablename__ = "texts"
    __table_args__ = (DAILY,)

    at: MomentKey
    decision_id: IdKey
    key: Key
    body: Words


ROWS: dict[str, type[Sourced]] = {
    str(row.__tablename__): row
    for row in (
        DecisionRow,
        StepRow,
        AttemptRow,
        JudgeScoreRow,
        CompletionRow,
        DrawRow,
        OutcomeRow,
        TextRow,
    )
}
