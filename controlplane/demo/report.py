"""Report: the demo's figures, as ``--json`` gives them, and as the closing table shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from controlplane.demo.drift import LAST, WHAT, DriftTold
from controlplane.demo.options import Options
from controlplane.stats import wilson


class VersionLine(BaseModel):
    """One policy version of the run."""

    model_config = ConfigDict(frozen=True)

    version: int
    acked: bool
    decisions: int
    routing_threshold: float
    judge_cutoff: float


class Report(BaseModel):
    """Money in USD; figures of baselines are None beside a real cloud, which is not asked twice.

    ``labels_left``: queries whose answers wait for people. ``drift``: None unless asked for.
    """

    model_config = ConfigDict(frozen=True)

    queries: int
    target_quality: float
    tolerance: float
    quality: float
    quality_estimate: float | None
    quality_interval: tuple[float, float] | None
    quality_last_two_thirds: float
    recovered_after_queries: int | None
    labels: int
    labels_left: int
    label_cost_usd: float
    cost_usd: float
    judge_cost_usd: float
    shadow_cost_usd: float
    always_cloud_cost_usd: float | None
    random_mix_cost_usd: float | None
    oracle_cost_usd: float | None
    always_local_quality: float | None
    always_cloud_quality: float | None
    oracle_quality: float | None
    local_share: float
    policy_versions: tuple[VersionLine, ...]
    decisions_in_postgres: int
    decisions_replayed: int
    decisions_mismatched: int
    seconds: float
    drift: DriftTold | None = None

    @property
    def missed(self) -> bool:
        """Whether quality fell short of the target by more than its tolerance, once learned."""
        return self.quality_last_two_thirds < self.target_quality - self.tolerance


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row of the closing table that is no run."""

    name: str
    quality: float
    cost_usd: float


def table(report: Report, baselines: tuple[Baseline, ...], confidence: float) -> Table:
    """The run among the baselines; intervals are Wilson's, over the queries of the run."""
    dear = report.always_cloud_cost_usd
    names = ("quality", f"{confidence:.0%} interval", "cost, USD", "vs cloud")
    shown = Table(Column("", no_wrap=True), box=SIMPLE)
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    rows = [Baseline("penstock", report.quality, report.cost_usd), *baselines]
    for row in rows:
        interval = wilson(row.quality, report.queries, confidence)
        shown.add_row(
            row.name,
            f"{row.quality:.3f}",
            f"{interval.low:.3f}-{interval.high:.3f}",
            f"{row.cost_usd:.4f}",
            f"{row.cost_usd / dear:.1%}" if dear else "",
            style="bold" if row.name == "penstock" else "",
        )
    return shown


def close(
    console: Console,
    report: Report,
    baselines: tuple[Baseline, ...],
    options: Options,
    gate: Sequence[str] = (),
) -> None:
    """The closing words: table, the gate's story, money, evidence, and what was simulated."""
    console.print(table(report, baselines, 0.95))
    for line in (
        *_verdict(report),
        *_drift(report),
        *(gate or ["the judge was on trial to the end: it decided nothing"]),
        *_money(report, options),
        *_evidence(report),
        *_honesty(options),
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _verdict(report: Report) -> list[str]:
    goal = f"target {report.target_quality:.2f} less {report.tolerance:.2f}"
    ending = "MISSED" if report.missed else "kept"
    lines = [f"{goal}: {ending} ({report.quality_last_two_thirds:.3f} over the last two thirds)"]
    if report.quality_interval is not None:
        low, high = report.quality_interval
        lines.append(
            f"the audit said {report.quality_estimate:.3f} [{low:.3f}, {high:.3f}]; "
            f"the truth, which neither plane could read: {report.quality:.3f}"
        )
    if report.drift is None:
        lines.append(f"after the change of mix: {_recovery(report.recovered_after_queries)}")
    return lines


def _drift(report: Report) -> list[str]:
    """What came of the drift that was asked for, told honestly."""
    told = report.drift
    if told is None:
        return []
    return [
        f"SIMULATED drift at query {told.injected_at:,}: {WHAT[told.kind]}",
        f"  noticed: {_after(told.noticed_after)}{_quoted(told.noticed_by)}",
        *([f"  false alarms before it: {told.alarms_before}"] if told.alarms_before else []),
        f"  named: {_named(told)}",
        f"  recovered: {_recovery(report.recovered_after_queries)}, on fixed queries; right of "
        f"{LAST} answers: {told.quality_before:.3f} before, {told.quality_lowest:.3f} at the "
        f"lowest, {told.quality_last:.3f} at the end",
        f"  cost: {told.cost_before_usd * 1e6:.1f} USD per million queries before, "
        f"{told.cost_last_usd * 1e6:.1f} at the end (each over {LAST})",
    ]


def _named(told: DriftTold) -> str:
    if not told.named:
        return _after(None)
    each = [
        f"{named.cause}, {'rightly' if named.cause == told.kind else 'wrongly'}, "
        f"{_after(named.after)}"
        for named in told.named
    ]
    return f"{'; '.join(each)}{_quoted(told.named_words)}"


def _after(queries: int | None) -> str:
    return "not within this run" if queries is None else f"after {queries:,} queries"


def _quoted(words: str | None) -> str:
    return f": {words}" if words else ""


def _recovery(after: int | None) -> str:
    if after is None:
        return "the live policy's quality did not come back within tolerance"
    if after == 0:
        return "the live policy's quality never left its tolerance"
    return f"the live policy's quality was back after {after:,} queries"


def _money(report: Report, options: Options) -> list[str]:
    return [
        f"cost includes serving, judging ({report.judge_cost_usd:.4f} USD: the judge reads "
        f"log-probabilities) and shadowing ({report.shadow_cost_usd:.4f} USD)",
        f"apart from it: {report.labels} labels at {options.label_price_usd} USD are "
        f"{report.label_cost_usd:.2f} USD; the answers to {report.labels_left} queries, the last "
        "that were drawn, were left unlabelled for you to try the dashboard's page Labelling",
    ]


def _evidence(report: Report) -> list[str]:
    acked = sum(version.acked for version in report.policy_versions)
    return [
        f"{report.decisions_in_postgres:,} decisions in Postgres, {report.decisions_replayed:,} "
        f"replayed, {report.decisions_mismatched} came out otherwise",
        f"{len(report.policy_versions)} policy versions, {acked} acknowledged; "
        f"{report.local_share:.0%} of the answers were local; {report.seconds:.0f} s in all",
    ]


def _honesty(options: Options) -> list[str]:
    cloud = "" if options.cloud else "the cloud tier and its list prices, "
    drift = "the drift, " if options.drift else ""
    until = " until these drift" if options.answers_drift else ""
    return [
        f"SIMULATED: {drift}{cloud}the queries, and the labeller with its delays. Real: the local "
        f"model and its log-probabilities{until}, both planes, Postgres, every measured time",
        "the start policy and p_hat were untrained; baselines were asked outside the gateway and "
        "outside the cost",
    ]
