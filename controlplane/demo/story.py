"""THE STORY OF A RUN: prepare > start the parts > send > settle > replay > score > close."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console

from controlplane import app, database, explain, keys
from controlplane.connection import Connection, connect
from controlplane.database import Database
from controlplane.demo import ledger, parts, report, scoreboard, site
from controlplane.demo.lines import Line, Lines, quality
from controlplane.demo.monitor import Monitor, of_place
from controlplane.demo.options import Options
from controlplane.demo.report import Baseline, Report, VersionLine
from controlplane.demo.scoreboard import Scores
from controlplane.demo.settle import settle
from controlplane.demo.site import Site
from controlplane.demo.view import view
from controlplane.launch import Part, Program, running
from controlplane.start import start_policy
from controlplane.steps import Steps
from dataplane.contract.keys import Scope

LOOK_EVERY_S = 0.5
PROMPT_CHARS = 20.0  # of a usual query
NAMES: dict[str, Scope] = {
    "clients": "inference",
    "labeller": "label",
    "control plane": "admin",
}


@dataclass(frozen=True, slots=True)
class House:
    """The running parts, and a session of the control plane's role."""

    site: Site
    connection: Connection
    keys: dict[str, str]
    planes: list[Part]
    verifier: Part


def run(options: Options, console: Console) -> Report:
    """One demo from nothing to its report; raises ``OperatorError``."""
    started = time.monotonic()
    steps = Steps(console)
    with ExitStack() as stack:
        place = site.prepare(stack.enter_context(_directory(options.keep)), options)
        house = _open(stack, steps, place, options)
        lines = _send(steps, house, options, console)
        with steps("labels and records"):
            settle(house.connection, house.verifier, house.planes, options.queries)
        with steps("replay of decisions"), house.connection.transaction():
            tally = explain.replay_all(house.connection)
        versions = ledger.versions(house.connection)
        scores = None
        if options.cloud is None:
            with steps("baselines"):
                after = {line.policy_version for line in of_place(lines, options.changes_at)}
                wanted = [v.policy for v in versions if v.policy.version in after]
                scores = scoreboard.score(place, options, wanted)
        told = _report(house.connection, options, lines, versions, tally, scores, started)
    report.close(console, told, _baselines(scores), options)
    return told


def _directory(keep: Path | None) -> AbstractContextManager[Path]:
    @contextmanager
    def kept(path: Path) -> Iterator[Path]:
        yield path.absolute()

    @contextmanager
    def temporary() -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="penstock-demo-") as name:
            yield Path(name)

    return temporary() if keep is None else kept(keep)


def _open(stack: ExitStack, steps: Steps, place: Site, options: Options) -> House:
    """Start everything but the workload, in the order of need."""
    with steps("Postgres"):
        store = stack.enter_context(database.embedded(place.directory))
    with steps("schema and roles"):
        database.upgrade(store.url)
    connection = stack.enter_context(connect(store.url_for("penstock_controlplane")))
    connection.autocommit = True
    made = _keys(connection)
    _publish_first(place, store)

    def start(name: str, program: Program) -> Part:
        with steps(name):
            return stack.enter_context(running(program, place.logs))

    if options.cloud is None:
        start("provider (SIMULATED)", parts.provider(place, options))
    planes = [
        start("data plane, engine", parts.dataplane(place, store)),
        start("control plane", parts.controlplane(place, store, made["control plane"])),
    ]
    if options.freeze:
        _freeze(place, made["control plane"])
    verifier = start("verifier (SIMULATED)", parts.verifier(place, options, made["labeller"]))
    return House(place, connection, made, planes, verifier)


def _keys(connection: Connection) -> dict[str, str]:
    return {
        name: keys.create(connection, tenant="demo", scopes=[scope], name=name).reveal()
        for name, scope in NAMES.items()
    }


def _publish_first(place: Site, store: Database) -> None:
    """Version 1: always the cloud, nothing trained; its unit of cost is this traffic's."""
    untrained = start_policy(place.configuration, datetime.now(UTC))
    unit_usd = float(untrained.cloud.expected_cost_usd(PROMPT_CHARS))
    first = untrained.replaced(cost_unit_usd=unit_usd).rederived()
    place.start_policy.write_bytes(first.to_json())
    app.publish_first(partial(connect, store.url_for("penstock_controlplane")), first)


def _freeze(place: Site, admin_key: str) -> None:
    url = f"{place.configuration.control.listen.url}/v1/freeze"
    headers = {"authorization": f"Bearer {admin_key}"}
    said = httpx.post(url, json={"frozen": True}, headers=headers, trust_env=False)
    said.raise_for_status()


def _send(steps: Steps, house: House, options: Options, console: Console) -> list[Line]:
    """Let the workload send everything, and show what comes of it."""
    program = parts.workload(house.site, options, house.keys["clients"])
    with (
        running(program, house.site.logs, piped=True) as workload,
        steps(f"{options.queries:,} queries"),
        view(console, options) as shown,
    ):
        lines = Lines(workload.lines)
        monitor = Monitor(house.connection, lines, options)
        while not workload.ended:
            for part in (*house.planes, house.verifier):
                part.check()
            shown.show(monitor.look())
            time.sleep(LOOK_EVERY_S)
        workload.wait(0)
        whole = lines.all()
        shown.show(monitor.look())
    return whole


def _report(
    connection: Connection,
    options: Options,
    lines: list[Line],
    versions: list[ledger.Version],
    tally: explain.Tally,
    scores: Scores | None,
    started: float,
) -> Report:
    counts, spent = ledger.counts(connection), ledger.spent(connection)
    estimate = ledger.estimate(connection)
    floor = options.target_quality - options.tolerance
    return Report(
        queries=len(lines),
        target_quality=options.target_quality,
        tolerance=options.tolerance,
        quality=quality(lines),
        quality_estimate=estimate and estimate.quality,
        quality_interval=estimate and (estimate.low, estimate.high),
        quality_last_two_thirds=quality(of_place(lines, options.queries // 3)),
        recovered_after_queries=scores
        and scoreboard.recovered_after(lines, scores.quality_by_version, options.changes_at, floor),
        labels=counts.labels,
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
        policy_versions=tuple(_version_line(version) for version in versions),
        decisions_in_postgres=counts.decisions,
        decisions_replayed=tally.replayed,
        decisions_mismatched=tally.mismatched,
        seconds=time.monotonic() - started,
    )


def _version_line(version: ledger.Version) -> VersionLine:
    segment = version.policy.segments[0]
    return VersionLine(
        version=version.policy.version,
        acked=version.acked,
        decisions=version.decisions,
        routing_threshold=segment.routing_threshold,
        judge_cutoff=segment.judge_cutoff,
    )


def _baselines(scores: Scores | None) -> tuple[Baseline, ...]:
    if scores is None:
        return ()
    named = {
        "oracle, all-knowing": scores.oracle,
        "random mix at the target": scores.random_mix,
        "always cloud, SIMULATED": scores.always_cloud,
        "always local": scores.always_local,
    }
    return tuple(Baseline(name, one.quality, one.cost_usd) for name, one in named.items())
