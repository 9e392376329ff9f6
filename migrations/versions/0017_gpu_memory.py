"""How full the GPU of an engine is, where it has one: reports told of RAM alone.

Columns are only added, at the end. Data planes of the release before tell nothing of it.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

VIEW = """
CREATE OR REPLACE VIEW v_tier_reports AS
SELECT plane, at, tier, told ->> 'unavailable' AS unavailable,
    (told ->> 'failures_in_a_row')::integer AS failures_in_a_row,
    (told ->> 'restarts')::integer AS restarts, (told ->> 'slots')::integer AS slots,
    (told ->> 'slots_busy')::integer AS slots_busy,
    (told ->> 'queue_depth')::integer AS queue_depth,
    (told ->> 'memory_rss_bytes')::bigint AS memory_bytes,
    (told ->> 'gpu_memory_used_bytes')::bigint AS gpu_used_bytes,
    (told ->> 'gpu_memory_bytes')::bigint AS gpu_bytes
FROM plane_reports CROSS JOIN LATERAL jsonb_each(body -> 'tiers') AS listed (tier, told)
"""
SHOWS = (
    "One row a tier, data plane and ten seconds: why it is not asked, its breaker, and of our own "
    "engine its slots, its queue and its memory (bytes, resident); of its GPUs, if any, how much "
    "is in use, by whatever process, of how much (bytes)."
)


def upgrade() -> None:
    """Add the columns to the view."""
    op.execute(VIEW)
    op.execute(f"COMMENT ON VIEW v_tier_reports IS '{SHOWS}'")
