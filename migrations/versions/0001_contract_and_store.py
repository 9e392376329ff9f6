"""The contract and the store: records by the day, what the planes share, roles and grants.

Roles belong to the whole server, so they are created only where missing. No password is set here:
the embedded server trusts its own socket, elsewhere the operator sets them.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RECORDS = (
    """
CREATE TABLE decisions (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    id uuid NOT NULL,
    tenant text NOT NULL,
    conversation text,
    request_id text NOT NULL,
    policy_version integer NOT NULL,
    feature_version integer NOT NULL,
    features jsonb NOT NULL,
    segment text NOT NULL,
    eligible text[] NOT NULL,
    excluded jsonb NOT NULL,
    sticky_tier text,
    seed bigint NOT NULL,
    PRIMARY KEY (at, id),
    CONSTRAINT seed_is_not_negative CHECK (seed >= 0)
) PARTITION BY RANGE (at)
""",
    """
CREATE TABLE steps (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    index integer NOT NULL,
    state jsonb NOT NULL,
    pmf jsonb NOT NULL,
    action text NOT NULL,
    propensity double precision NOT NULL,
    threshold double precision,
    values jsonb NOT NULL,
    PRIMARY KEY (at, decision_id, index),
    CONSTRAINT propensity_is_positive CHECK (propensity > 0 AND propensity <= 1)
) PARTITION BY RANGE (at)
""",
    """
CREATE TABLE attempts (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    purpose text NOT NULL,
    index integer NOT NULL,
    tier text NOT NULL,
    model text NOT NULL,
    prompt_tokens integer NOT NULL,
    completion_tokens integer NOT NULL,
    tokens_exact boolean NOT NULL,
    cost_usd double precision NOT NULL,
    latency_ms double precision NOT NULL,
    ttft_ms double precision,
    tokens_per_s double precision,
    finish text NOT NULL,
    compression_version integer,
    tokens_before integer,
    tokens_after integer,
    error text,
    PRIMARY KEY (at, decision_id, purpose, index),
    CONSTRAINT purpose_is_known CHECK (
        purpose IN ('serve', 'router', 'judge', 'shadow', 'audit')
    ),
    CONSTRAINT cost_usd_is_finite CHECK (cost_usd >= 0 AND cost_usd < 'Infinity'),
    CONSTRAINT latency_ms_is_finite CHECK (latency_ms >= 0 AND latency_ms < 'Infinity'),
    CONSTRAINT tokens_are_counts CHECK (prompt_tokens >= 0 AND completion_tokens >= 0)
) PARTITION BY RANGE (at)
""",
    """
CREATE TABLE judge_scores (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    purpose text NOT NULL,
    index integer NOT NULL,
    judge text NOT NULL,
    tier text NOT NULL,
    raw double precision NOT NULL,
    bin integer NOT NULL,
    calibrated double precision NOT NULL,
    PRIMARY KEY (at, decision_id, purpose, index),
    CONSTRAINT purpose_is_known CHECK (purpose IN ('serve', 'shadow')),
    CONSTRAINT calibrated_is_a_probability CHECK (calibrated >= 0 AND calibrated <= 1)
) PARTITION BY RANGE (at)
""",
    """
CREATE TABLE completions (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    final_tier text,
    escalated boolean NOT NULL,
    cost_usd double precision NOT NULL,
    latency_ms double precision NOT NULL,
    overhead_ms double precision NOT NULL,
    status text NOT NULL,
    error text,
    PRIMARY KEY (at, decision_id),
    CONSTRAINT status_is_known CHECK (status IN ('ok', 'error', 'aborted')),
    CONSTRAINT cost_usd_is_finite CHECK (cost_usd >= 0 AND cost_usd < 'Infinity'),
    CONSTRAINT latency_ms_is_finite CHECK (latency_ms >= 0 AND latency_ms < 'Infinity'),
    CONSTRAINT overhead_ms_is_finite CHECK (overhead_ms >= 0 AND overhead_ms < 'Infinity')
) PARTITION BY RANGE (at)
""",
    """
CREATE TABLE draws (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    kind text NOT NULL,
    tier text,
    probability double precision NOT NULL,
    PRIMARY KEY (at, decision_id, kind),
    CONSTRAINT kind_is_known CHECK (kind IN ('audit', 'shadow')),
    CONSTRAINT probability_is_positive CHECK (probability > 0 AND probability <= 1),
    CONSTRAINT a_shadow_calls_a_tier CHECK ((kind = 'shadow') = (tier IS NOT NULL))
) PARTITION BY RANGE (at)
""",
    """
CREATE TABLE outcomes (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    id uuid NOT NULL,
    decision_id uuid NOT NULL,
    key text NOT NULL,
    source text NOT NULL,
    value double precision NOT NULL,
    labeller text NOT NULL,
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (at, id),
    CONSTRAINT source_is_known CHECK (
        source IN ('ground_truth', 'verifier', 'feedback', 'reference')
    ),
    CONSTRAINT value_is_a_probability CHECK (value >= 0 AND value <= 1)
) PARTITION BY RANGE (at)
""",
    """
CREATE TABLE texts (
    plane text NOT NULL,
    spool_segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    key text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (at, decision_id, key)
) PARTITION BY RANGE (at)
""",
)

SHARED = (
    """
CREATE UNLOGGED TABLE staging (
    kind text NOT NULL,
    body jsonb NOT NULL,
    plane text NOT NULL,
    segment bigint NOT NULL,
    "offset" bigint NOT NULL
)
""",
    """
CREATE TABLE shipments (
    plane text NOT NULL,
    segment bigint NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    rows integer NOT NULL,
    shipped_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (plane, segment, first_offset),
    CONSTRAINT offsets_ascend CHECK (first_offset <= last_offset)
)
""",
    """
CREATE TABLE policies (
    version integer NOT NULL,
    parent integer,
    kind text NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    digest text NOT NULL,
    document text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (version),
    CONSTRAINT kind_is_known CHECK (kind IN ('retune', 'proposal')),
    CONSTRAINT grows CHECK (version >= 1 AND (parent IS NULL OR parent < version))
)
""",
    """
CREATE TABLE publications (
    seq bigint NOT NULL,
    parent bigint,
    in_force jsonb NOT NULL,
    reason text NOT NULL,
    published_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (seq),
    CONSTRAINT follows_its_parent CHECK (seq = coalesce(parent, 0) + 1),
    UNIQUE (parent)
)
""",
    """
CREATE TABLE policy_acks (
    plane text NOT NULL,
    seq bigint NOT NULL,
    version integer NOT NULL,
    status text NOT NULL,
    reason text,
    at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (plane, seq, version),
    CONSTRAINT status_is_known CHECK (status IN ('ack', 'nack'))
)
""",
    """
CREATE TABLE api_keys (
    id text NOT NULL,
    secret_sha256 bytea NOT NULL,
    tenant text NOT NULL,
    scopes text[] NOT NULL,
    name text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (id),
    CONSTRAINT secret_is_a_digest CHECK (octet_length(secret_sha256) = 32),
    CONSTRAINT scopes_are_known CHECK (
        scopes <@ ARRAY['inference', 'feedback', 'label', 'read', 'admin']
    )
)
""",
    """
CREATE TABLE learner_state (
    name text NOT NULL,
    body text NOT NULL,
    checksum text NOT NULL,
    schema integer NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (name)
)
""",
    """
CREATE TABLE watermarks (
    plane text NOT NULL,
    segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (plane, segment)
)
""",
    """
CREATE TABLE label_tasks (
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    probability double precision NOT NULL,
    answers jsonb NOT NULL,
    waits_for_shadow boolean NOT NULL,
    status text DEFAULT 'pending' NOT NULL,
    leased_by text,
    leased_until timestamptz,
    resolved_at timestamptz,
    learned_at timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (at, decision_id),
    CONSTRAINT status_is_known CHECK (
        status IN ('pending', 'leased', 'labelled', 'unsure', 'expired')
    ),
    CONSTRAINT probability_is_positive CHECK (probability > 0 AND probability <= 1)
)
""",
    """
CREATE TABLE shadow_tasks (
    at timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    tier text NOT NULL,
    probability double precision NOT NULL,
    status text DEFAULT 'pending' NOT NULL,
    leased_until timestamptz,
    attempts integer DEFAULT 0 NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    done_at timestamptz,
    PRIMARY KEY (at, decision_id, tier),
    CONSTRAINT status_is_known CHECK (
        status IN ('pending', 'leased', 'done', 'failed', 'expired')
    ),
    CONSTRAINT probability_is_positive CHECK (probability > 0 AND probability <= 1)
)
""",
    """
CREATE TABLE job_runs (
    job text NOT NULL,
    due_at timestamptz NOT NULL,
    plane text NOT NULL,
    started_at timestamptz DEFAULT now() NOT NULL,
    finished_at timestamptz,
    status text,
    detail text,
    PRIMARY KEY (job, due_at)
)
""",
    """
CREATE TABLE events (
    id bigint GENERATED BY DEFAULT AS IDENTITY,
    at timestamptz DEFAULT now() NOT NULL,
    kind text NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (id)
)
""",
    """
CREATE TABLE estimates (
    id bigint GENERATED BY DEFAULT AS IDENTITY,
    at timestamptz DEFAULT now() NOT NULL,
    policy_version integer NOT NULL,
    "window" text NOT NULL,
    n integer NOT NULL,
    quality double precision,
    lo double precision,
    hi double precision,
    detail jsonb NOT NULL,
    PRIMARY KEY (id)
)
""",
)

INDEXES = (
    'CREATE INDEX completions_by_source ON completions (plane, spool_segment, "offset")',
    "CREATE INDEX outcomes_by_decision ON outcomes (at, decision_id)",
    'CREATE INDEX outcomes_by_source ON outcomes (plane, spool_segment, "offset")',
    "CREATE INDEX policy_acks_by_seq ON policy_acks (seq)",
    "CREATE INDEX label_tasks_by_status ON label_tasks (status, at)",
    "CREATE INDEX shadow_tasks_by_status ON shadow_tasks (status, at)",
    "CREATE INDEX events_by_time ON events (at)",
    "CREATE INDEX estimates_by_time ON estimates (at)",
)

PARTITIONED = (
    "decisions",
    "steps",
    "attempts",
    "judge_scores",
    "completions",
    "draws",
    "outcomes",
    "texts",
)

# Built apart and then attached: that waits for no reader of the parent, as PARTITION OF would.
# A day of which DEFAULT already holds rows cannot be attached, and stays there.
PARTITIONS = """
CREATE FUNCTION penstock_ensure_partitions(days_ahead integer DEFAULT 7) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s'
AS $$
DECLARE
    parent text;
    day date;
    child text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('penstock_ensure_partitions'));
    FOR parent IN
        SELECT relname FROM pg_class
        JOIN pg_partitioned_table ON partrelid = pg_class.oid
        WHERE relnamespace = current_schema::regnamespace
    LOOP
        FOR day IN
            SELECT current_date + ahead FROM generate_series(0, days_ahead) AS ahead
        LOOP
            child := format('%s_p%s', parent, to_char(day, 'YYYYMMDD'));
            CONTINUE WHEN to_regclass(quote_ident(child)) IS NOT NULL;
            BEGIN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
                EXECUTE format(
                    'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    parent, child, day::timestamptz, (day + 1)::timestamptz
                );
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                NULL;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$
"""

NOTIFICATIONS = (
    """
CREATE FUNCTION penstock_notify_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('penstock_policy', NEW.seq::text);
    RETURN NULL;
END
$$
""",
    """
CREATE FUNCTION penstock_notify_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('penstock_keys', '');
    RETURN NULL;
END
$$
""",
    "CREATE TRIGGER published AFTER INSERT ON publications"
    " FOR EACH ROW EXECUTE FUNCTION penstock_notify_policy()",
    "CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON api_keys"
    " FOR EACH STATEMENT EXECUTE FUNCTION penstock_notify_keys()",
)

ROLES = ("penstock_dataplane", "penstock_controlplane", "penstock_dashboard")

ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} LOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of this server was quicker
END
$$
"""

_RECORDS = ", ".join(PARTITIONED)

GRANTS = (
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    # The data plane adds, and reads what it is to obey; it reads back no record.
    f"GRANT INSERT ON {_RECORDS}, shipments, policy_acks TO penstock_dataplane",
    "GRANT SELECT, INSERT, DELETE ON staging TO penstock_dataplane",
    "GRANT SELECT ON policies, publications, api_keys TO penstock_dataplane",
    # The control plane reads all records and adds what was learned; what it publishes stays.
    f"GRANT SELECT ON {_RECORDS}, shipments, policy_acks TO penstock_controlplane",
    "GRANT INSERT ON outcomes TO penstock_controlplane",
    "GRANT DELETE ON texts TO penstock_controlplane",
    "GRANT SELECT, INSERT ON policies, publications TO penstock_controlplane",
    "GRANT SELECT, INSERT, UPDATE (name, revoked_at) ON api_keys TO penstock_controlplane",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON learner_state, watermarks, label_tasks, shadow_tasks,"
    " job_runs, events, estimates TO penstock_controlplane",
    "REVOKE EXECUTE ON FUNCTION penstock_ensure_partitions FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION penstock_ensure_partitions TO penstock_controlplane",
)


def upgrade() -> None:
    """Build all of it; the dashboard's views come with the dashboard."""
    for statement in (*RECORDS, *SHARED, *INDEXES):
        op.execute(statement)
    for table in PARTITIONED:
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    op.execute(PARTITIONS)
    op.execute("SELECT penstock_ensure_partitions(7)")
    for role in ROLES:
        op.execute(ROLE.format(role=role))
    for statement in (*NOTIFICATIONS, *GRANTS):
        op.execute(statement)
