"""The tables of rollups: what the control plane adds up of the records, each record once.

``at`` begins ten minutes, of ``latency_rollups`` an hour. A query that nobody answered has the tier
``''``. ``bin`` holds values from 1.1 ** bin to 1.1 ** (bin + 1), in ms or tokens/s.
"""

from sqlmodel import Field, SQLModel

from dataplane.contract.tables import IdKey, Key, Long, LongKey, MomentKey, Real, one_of


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
