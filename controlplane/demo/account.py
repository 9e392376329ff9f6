"""Account: a run's figures, added up from the workload's lines, the store and the scoreboard."""

from collections.abc import Sequence

from controlplane.connection import Connection
from controlplane.demo import ledger
from controlplane.demo.drift import DriftTold
from controlplane.demo.ledger import Version
from controlplane.demo.lines import Line, quality
from controlplane.demo.monitor import of_place
from controlplane.demo.options import Options
from controlplane.demo.report import Baseline, Report, VersionLine
from controlplane.demo.scoreboard import Scores, recovered_after
from controlplane.explain import Tally


def account(
    connection: Connection,
    options: Options,
    lines: Sequence[Line],
    tally: Tally,
    scores: Scores | None,
    drift: DriftTold | None,
    seconds: float,
) -> Report:
    """The report of a run that has settled; ``lines`` are by place."""
    changed_at = drift.injected_at if drift else options.changes_at
    counts, spent = ledger.counts(connection), ledger.spent(connection)
    estimate = ledger.estimate(connection)
    return Report(
        queries=len(lines),
        target_quality=options.target_quality,
        tolerance=options.tolerance,
        quality=quality(lines),
        quality_estimate=estimate and estimate.quality,
        quality_interval=estimate and (estimate.low, estimate.high),
        quality_last_two_thirds=quality(of_place(lines, options.queries // 3)),
        recovered_after_queries=scores and _recovered(scores, options, changed_at, lines),
        labels=counts.labels,
        labels_left=counts.labels_awaited,
        label_cost_usd=counts.labels * options.label_price_usd,
        cost_usd=sum(spent.values()),
        judge_cost_usd=spent.get("judge", 0.0),
        shadow_cost_usd=spent.get("shadow", 0.0),
        always_cloud_cost_usd=scores and scores.always_cloud.cost_usd,
        random_mix_cost_usd=scores and scores.random_mix.cost_usd,
        oracle_cost_usd=scores and scores.oracle.cost_usd,
        always_local_quality=scores and scores.always_local.quality,
        always_cloud_quality=scores and scores.always_cloud.quality,
        oracle_quality=scores and scores.oracle.quality,
        local_share=sum(line.tier == "local" for line in lines) / len(lines),
        policy_versions=tuple(map(_version_line, ledger.versions(connection))),
        decisions_in_postgres=counts.decisions,
        decisions_replayed=tally.replayed,
        decisions_mismatched=tally.mismatched,
        drift=drift,
        seconds=seconds,
    )


def baselines(scores: Scores | None) -> tuple[Baseline, ...]:
    """The rows beside the run, the best first."""
    if scores is None:
        return ()
    named = {
        "oracle, all-knowing": scores.oracle,
        "random mix at the target": scores.random_mix,
        "always cloud, SIMULATED": scores.always_cloud,
        "always local": scores.always_local,
    }
    return tuple(Baseline(name, one.quality, one.cost_usd) for name, one in named.items())


def _recovered(
    scores: Scores, options: Options, changed_at: int, lines: Sequence[Line]
) -> int | None:
    return recovered_after(lines, scores.quality_by_version, changed_at, options.floor)


def _version_line(version: Version) -> VersionLine:
    segment = version.policy.segments[0]
    return VersionLine(
        version=version.policy.version,
        acked=version.acked,
        decisions=version.decisions,
        routing_threshold=segment.routing_threshold,
        judge_cutoff=segment.judge_cutoff,
    )
