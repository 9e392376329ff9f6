"""A report of the demo, for tests of what shows it."""

from typing import Any

from controlplane.demo.report import Report, VersionLine


def report(**fields: Any) -> Report:
    """A run on target; ``fields`` replace its figures."""
    usual: dict[str, Any] = {
        "queries": 6000,
        "target_quality": 0.9,
        "tolerance": 0.02,
        "quality": 0.91,
        "quality_estimate": 0.905,
        "quality_interval": (0.89, 0.92),
        "quality_last_two_thirds": 0.9,
        "recovered_after_queries": 700,
        "labels": 800,
        "labels_left": 12,
        "label_cost_usd": 1.6,
        "cost_usd": 0.12,
        "judge_cost_usd": 0.0,
        "shadow_cost_usd": 0.01,
        "always_cloud_cost_usd": 0.3,
        "random_mix_cost_usd": 0.25,
        "oracle_cost_usd": 0.06,
        "always_local_quality": 0.65,
        "always_cloud_quality": 0.96,
        "oracle_quality": 0.9,
        "local_share": 0.6,
        "policy_versions": (
            VersionLine(
                version=1, acked=True, decisions=6000, routing_threshold=1.0, judge_cutoff=0.0
            ),
        ),
        "decisions_in_postgres": 6000,
        "decisions_replayed": 6000,
        "decisions_mismatched": 0,
        "seconds": 120.0,
    }
    return Report(**usual | fields)
