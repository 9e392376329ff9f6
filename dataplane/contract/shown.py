"""The tables that only pages read: sums of records, numbers of policies, reports of data planes.

Of the sums, which the control plane keeps, ``at`` begins ten minutes, of ``latency_rollups`` an
hour. A query that nobody answered has the tier ``''``. ``bin`` holds values from 1.1 ** bin to
1.1 ** (bin + 1), in ms or tokens/s.
"""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Index, text
from sqlmodel import Field, SQLModel

from dataplane.contract.tables import (
    IdKey,
    Json,
    Key,
    Long,
    LongKey,
    MaybeReal,
    MaybeWords,
    MomentKey,
    Real,
    VersionKey,
    Words,
    one_of,
)


class QueryRollupRow(SQLModel, table=True):
    """Completed queries, and what the cloud was paid or would have been (USD)."""

    __tablename__ = "query_rollups"

    at: MomentKey
    tenant: Key
    segment: Key
    policy_version: int = Field(primary_key=True)
    tier: Key
    queries: Long
    answered: Long
    local: Long
    escalated: Long
    failed: Long
    paid_cloud_usd: Real
    expected_cloud_usd: Real


class SpendRollupRow(SQLModel, table=True):
    """Calls of tiers; those of ``shadow_`` are answered calls of the cloud, over their chance."""

    __tablename__ = "spend_rollups"
    __table_args__ = (Index("spend_rollups_by_model", "model", "at"),)

    at: MomentKey
    tenant: Key
    segment: Key
    policy_version: int = Field(primary_key=True)
    tier: Key
    purpose: Key
    model: Key
    calls: Long
    failed: Long
    prompt_tokens: Long
    completion_tokens: Long
    cost_usd: Real
    shadow_calls: Long
    shadow_usd: Real
    shadow_expected_usd: Real


class LatencyRollupRow(SQLModel, table=True):
    """A histogram of answers, calls, first tokens and speeds."""

    __tablename__ = "latency_rollups"
    __table_args__ = (one_of("measure", "answer", "call", "ttft", "speed"),)

    measure: Key
    at: MomentKey
    tenant: Key
    segment: Key
    policy_version: int = Field(primary_key=True)
    tier: Key
    bin: int = Field(primary_key=True)
    n: Long


class PricedVoteRow(SQLModel, table=True):
    """A trusted vote of a labeller, at its query's time: on whose answer, its price (USD)."""

    __tablename__ = "priced_votes"

    at: MomentKey
    id: IdKey
    tenant: Words
    segment: Words
    policy_version: int
    tier: Words
    price_usd: MaybeReal


class RollupMarkRow(SQLModel, table=True):
    """How far a spool segment of a data plane is added up."""

    __tablename__ = "rollup_marks"

    plane: Key
    segment: LongKey
    offset: Long


class RollupWaitingRow(SQLModel, table=True):
    """A record that is not added yet, for its decision has not come."""

    __tablename__ = "rollup_waiting"
    __table_args__ = (one_of("kind", "completion", "attempt"),)

    kind: Key
    at: MomentKey
    decision_id: IdKey
    purpose: Key
    index: int = Field(primary_key=True)


class PolicyTermsRow(SQLModel, table=True):
    """Of a policy's document: its cheapest and dearest tier, what a call of the latter costs.

    USD a call, and USD a character of the prompt; a label in USD. The database fills it.
    """

    __tablename__ = "policy_terms"

    version: VersionKey
    local: Words
    cloud: Words
    call_usd: Real
    char_usd: Real
    label_price_usd: Real


class PolicySegmentRow(SQLModel, table=True):
    """Of a policy's document: a segment's numbers, and the judge and the objective of all.

    The database fills it.
    """

    __tablename__ = "policy_segments"

    version: VersionKey
    segment: Key
    mode: Words
    routing_threshold: Real
    judge_cutoff: Real
    judge: Words
    judge_lowest: Real
    judge_highest: Real
    target_quality: MaybeReal = None
    tolerance: MaybeReal = None
    reference: MaybeWords = None
    confidence: MaybeReal = None


class PolicyPriceRow(SQLModel, table=True):
    """Of a policy's document: what a token costs at a tier (USD), 0 where it charges none.

    The database fills it.
    """

    __tablename__ = "policy_prices"

    version: VersionKey
    tier: Key
    prompt_usd: Real
    completion_usd: Real


class PlaneReportRow(SQLModel, table=True):
    """What a data plane told of itself at one moment (``dataplane.report``)."""

    __tablename__ = "plane_reports"
    __table_args__ = (Index("plane_reports_by_time", "at"),)

    plane: Key
    at: datetime | None = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        primary_key=True,
        sa_column_kwargs={"server_default": text("now()")},
    )
    body: Json


class SpoolRollupRow(SQLModel, table=True):
    """The most that waited in a data plane's spool within ten minutes."""

    __tablename__ = "spool_rollups"
    __table_args__ = (Index("spool_rollups_by_time", "at"),)

    plane: Key
    at: MomentKey
    pending_records: Long
    oldest_pending_s: Real


class EngineRollupRow(SQLModel, table=True):
    """An engine of a data plane within ten minutes: ``busy_shares`` of its slots, over reports."""

    __tablename__ = "engine_rollups"
    __table_args__ = (Index("engine_rollups_by_time", "at"),)

    plane: Key
    tier: Key
    at: MomentKey
    queue_depth: int | None
    reports: Long
    busy_shares: Real
    memory_bytes: int | None = Field(default=None, sa_type=BigInteger)
