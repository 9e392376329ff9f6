"""The tables beside the records: what the planes hand each other, and what each one keeps.

``staging`` and ``shipments`` are the recorder's; ``policies``, ``publications`` and ``api_keys``
are written by the control plane and read by data planes; ``policy_acks`` answer them; the rest is
the control plane's own.
"""

from datetime import date, datetime
from typing import Annotated

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from dataplane.contract import shown as _shown  # noqa: F401  its tables are of METADATA, too
from dataplane.contract.tables import (
    IdKey,
    Json,
    Key,
    Long,
    LongKey,
    MaybeMoment,
    MaybeReal,
    MaybeWords,
    Moment,
    MomentKey,
    Names,
    Real,
    VersionKey,
    Words,
    drawn,
    one_of,
    probability,
)

SeqKey = Annotated[
    int,
    Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}),
]
Parent = Annotated[int | None, Field(sa_type=BigInteger, unique=True)]
Stamp = Annotated[  # the database's clock, unless given
    datetime | None,
    Field(
        sa_type=DateTime(timezone=True),
        nullable=False,
        sa_column_kwargs={"server_default": text("now()")},
    ),
]
Status = Annotated[str, Field(sa_type=Text, sa_column_kwargs={"server_default": text("'pending'")})]
Flag = Annotated[bool, Field(sa_column_kwargs={"server_default": text("false")})]
NoNames = Annotated[
    list[str], Field(sa_type=ARRAY(Text), sa_column_kwargs={"server_default": text("'{}'")})
]

METADATA = SQLModel.metadata  # of these tables and of the records

staging = Table(  # filled and emptied within one transaction, so a crash may lose it: unlogged
    "staging",
    METADATA,
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("plane", Text, nullable=False),
    Column("segment", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    prefixes=["UNLOGGED"],
)


class ShipmentRow(SQLModel, table=True):
    """A run of spool offsets whose rows arrived, written in their transaction."""

    __tablename__ = "shipments"
    __table_args__ = (CheckConstraint("first_offset <= last_offset", name="offsets_ascend"),)

    plane: Key
    segment: LongKey
    first_offset: LongKey
    last_offset: Long
    rows: int
    shipped_at: Stamp = None


class SpoolArrivalRow(SQLModel, table=True):
    """How far a spool segment has arrived; the database keeps it with each shipment."""

    __tablename__ = "spool_arrivals"

    plane: Key
    segment: LongKey
    last_offset: Long
    shipped_at: Moment


class PolicyRow(SQLModel, table=True):
    """A policy document, kept as the very text that its digest is of."""

    __tablename__ = "policies"
    __table_args__ = (
        one_of("kind", "retune", "proposal"),
        CheckConstraint("version >= 1 AND (parent IS NULL OR parent < version)", name="grows"),
    )

    version: VersionKey
    parent: int | None = None
    kind: Words
    author: Words
    reason: Words
    digest: Words
    document: Words
    created_at: Stamp = None


class PublicationRow(SQLModel, table=True):
    """The documents in force and their shares; inserting parent + 1 is the compare-and-swap."""

    __tablename__ = "publications"
    __table_args__ = (CheckConstraint("seq = coalesce(parent, 0) + 1", name="follows_its_parent"),)

    seq: SeqKey
    parent: Parent = None
    in_force: Json
    reason: Words
    published_at: Stamp = None


class PolicyAckRow(SQLModel, table=True):
    """A data plane's answer to a publication."""

    __tablename__ = "policy_acks"
    __table_args__ = (one_of("status", "ack", "nack"), Index("policy_acks_by_seq", "seq"))

    plane: Key
    seq: LongKey
    version: int = Field(primary_key=True)
    status: Words
    reason: MaybeWords = None
    at: Stamp = None


class ApiKeyRow(SQLModel, table=True):
    """A key by its public id; of the secret, the SHA-256 alone."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("octet_length(secret_sha256) = 32", name="secret_is_a_digest"),
        CheckConstraint(
            "scopes <@ ARRAY['inference', 'feedback', 'label', 'read', 'admin']",
            name="scopes_are_known",
        ),
        CheckConstraint(
            "spend_usd_per_day > 0 AND spend_usd_per_day < 'infinity'", name="spend_is_positive"
        ),
    )

    id: Key
    secret_sha256: bytes = Field(sa_type=LargeBinary)
    tenant: Words
    scopes: Names
    name: Words
    created_at: Stamp = None
    revoked_at: MaybeMoment = None
    spend_usd_per_day: MaybeReal = None


class SpendLeaseRow(SQLModel, table=True):
    """What data planes have set aside, spent or not, of what a key may spend on a UTC day."""

    __tablename__ = "spend_leases"
    __table_args__ = (CheckConstraint("leased_usd >= 0", name="leased_is_positive"),)

    key_id: Key
    day: date = Field(primary_key=True)
    leased_usd: Real


class LearnerStateRow(SQLModel, table=True):
    """A learner's state as JSON, with the checksum of that text."""

    __tablename__ = "learner_state"

    name: Key
    body: Words
    checksum: Words
    schema_version: int = Field(sa_column=Column("schema", Integer, nullable=False))
    updated_at: Stamp = None


class WatermarkRow(SQLModel, table=True):
    """How far the observer has read one spool segment; moves with the learner's state."""

    __tablename__ = "watermarks"

    plane: Key
    segment: LongKey
    offset: Long


class LabelTaskRow(SQLModel, table=True):
    """An audited query whose answers want labels.

    ``doubled``: it wants two people. ``disputed``: the answers on which they disagreed; then an
    ``adjudicator`` settles them.
    """

    __tablename__ = "label_tasks"
    __table_args__ = (
        one_of("status", "pending", "leased", "labelled", "unsure", "expired"),
        drawn("probability"),
        Index("label_tasks_by_status", "status", "at"),
        Index("label_tasks_as_observed", "created_at", "at", "decision_id"),
    )

    at: MomentKey
    decision_id: IdKey
    probability: Real
    answers: Json
    waits_for_shadow: bool
    status: Status = "pending"
    leased_by: MaybeWords = None
    leased_until: MaybeMoment = None
    resolved_at: MaybeMoment = None
    learned_at: MaybeMoment = None
    created_at: Stamp = None
    doubled: Flag = False
    disputed: NoNames = []
    adjudicator: MaybeWords = None


class LabelVoteRow(SQLModel, table=True):
    """Who has graded a task, sure or unsure, and under which key; the grades are outcomes."""

    __tablename__ = "label_votes"
    __table_args__ = (one_of("source", "ground_truth", "verifier", "reference"),)

    at: MomentKey
    decision_id: IdKey
    labeller: Key
    holder: Words
    source: Words
    cast_at: Stamp = None


class LabelRow(SQLModel, table=True):
    """The settled value of one answer: what estimates and the learner read."""

    __tablename__ = "labels"
    __table_args__ = (
        one_of("source", "ground_truth", "verifier", "reference"),
        one_of("basis", "single", "double", "adjudicated"),
        probability("value"),
    )

    at: MomentKey
    decision_id: IdKey
    key: Key
    value: Real
    source: Words
    basis: Words
    settled_at: Stamp = None


class ShadowTaskRow(SQLModel, table=True):
    """A query that a tier is to answer unseen."""

    __tablename__ = "shadow_tasks"
    __table_args__ = (
        one_of("status", "pending", "leased", "done", "failed", "expired", "shed"),
        drawn("probability"),
        Index("shadow_tasks_by_status", "status", "at"),
    )

    at: MomentKey
    decision_id: IdKey
    tier: Key
    probability: Real
    status: Status = "pending"
    leased_until: MaybeMoment = None
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    created_at: Stamp = None
    done_at: MaybeMoment = None


class JobRunRow(SQLModel, table=True):
    """One due run of a job: the primary key lets one control plane take it."""

    __tablename__ = "job_runs"
    __table_args__ = (
        Index("job_runs_that_failed", "due_at", postgresql_where=text("status = 'failed'")),
    )

    job: Key
    due_at: MomentKey
    plane: Words
    started_at: Stamp = None
    finished_at: MaybeMoment = None
    status: MaybeWords = None
    detail: MaybeWords = None


class EventRow(SQLModel, table=True):
    """What a person should see: alarms, retunes and their reasons, gate changes."""

    __tablename__ = "events"
    __table_args__ = (Index("events_by_time", "at"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    at: Stamp = None
    kind: Words
    body: Json


class EstimateRow(SQLModel, table=True):
    """Quality as the audit knew it, with its interval, at one moment."""

    __tablename__ = "estimates"
    __table_args__ = (Index("estimates_by_time", "at"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    at: Stamp = None
    policy_version: int
    window: Words
    n: int
    quality: MaybeReal = None
    lo: MaybeReal = None
    hi: MaybeReal = None
    detail: Json


class JudgeReportRow(SQLModel, table=True):
    """The last report of an hour on a judge in a segment: ``body`` is that of the API."""

    __tablename__ = "judge_reports"

    judge: Key
    segment: Key
    hour: MomentKey
    at: Moment
    policy_version: int
    body: Json


class FrontierPointRow(SQLModel, table=True):
    """A way to serve, as it was told at a moment: USD a query, and the share of right answers, or
    why it is not known. ``segment`` is empty for all of them together.
    """

    __tablename__ = "frontier_points"

    at: MomentKey
    segment: Key
    kind: Key
    name: Key
    policy_version: int | None
    queries: int
    since: Moment
    until: Moment
    quality: MaybeReal
    quality_lo: MaybeReal
    quality_hi: MaybeReal
    usd: Real
    usd_lo: MaybeReal
    usd_hi: MaybeReal
    labels: MaybeReal
    method: Words
    refused: MaybeWords
