"""What the control plane shows to Prometheus (text format 0.0.4): the store, read at each scrape.

Every control plane of a deployment shows the same, but for who leads.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeAlias

from controlplane import fleet, registry
from controlplane.alerts import progress
from controlplane.connection import Connection
from controlplane.sql import SQL
from dataplane.contract.alerting import Alerts
from dataplane.contract.exposition import Kind, Labels, family, sample
from dataplane.contract.terms import CostCeiling

Samples: TypeAlias = dict[Labels, float]

_HELP = {
    "penstock_leader": "Whether this control plane leads.",
    "penstock_job_runs": "Runs of the last day, by job and status.",
    "penstock_events_total": "Events, by kind.",
    "penstock_alerts_waiting": "Events that the webhook has not taken yet.",
    "penstock_alerts_oldest_waiting_seconds": "Age of the oldest event that it has not taken.",
    "penstock_alerts_sent_total": "Events that the webhook took.",
    "penstock_alerts_failures_total": "Attempts that the webhook did not take.",
    "penstock_alerts_given_up_total": "Events that the webhook will not be told any more.",
    "penstock_live_policy_version": "Version published last, the one of the largest share.",
    "penstock_live_policy_age_seconds": "Since it was published.",
    "penstock_target_quality": "What the objective asks for, and of what.",
    "penstock_quality_tolerance": "How far below the target quality may be.",
    "penstock_served_quality": "Quality of the served answers as last estimated, by window.",
    "penstock_served_quality_low": "Lower bound of that.",
    "penstock_served_quality_high": "Upper bound of that.",
    "penstock_data_planes": "Data planes, by the version that they answered to last, and how.",
    "penstock_data_planes_behind": "Data planes that refuse the newest publication, or are late.",
}


def exposition(
    connection: Connection, now: datetime, *, leads: bool, alerts: Alerts | None = None
) -> str:
    """Everything, as Prometheus reads it; raises ``UnknownVersionError`` before any policy."""
    leader: dict[str, Samples] = {"penstock_leader": {(): int(leads)}}
    found = (
        leader
        | _jobs_and_events(connection)
        | (_alerts(connection, alerts, now) if alerts else {})
        | _policy(connection, now)
        | _quality(connection)
        | _planes(connection)
    )
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Mapping[str, Samples]) -> Iterator[str]:
    for name, help_ in _HELP.items():
        if samples := found.get(name):
            kind: Kind = "counter" if name.endswith("_total") else "gauge"
            lines = [sample(name, labels, value) for labels, value in samples.items()]
            yield from family(name, kind, help_, lines)


def _jobs_and_events(connection: Connection) -> dict[str, Samples]:
    runs = connection.execute(SQL["job_run_counts"])
    events = connection.execute(SQL["event_counts"])
    return {
        "penstock_job_runs": {
            (("job", row["job"]), ("status", row["status"])): row["runs"] for row in runs
        },
        "penstock_events_total": {(("kind", row["kind"]),): row["events"] for row in events},
    }


def _alerts(connection: Connection, alerts: Alerts, now: datetime) -> dict[str, Samples]:
    told = progress(connection)
    if told is None:
        return {}
    row = {"after": told.after, "kinds": list(alerts.kinds)}
    (waiting,) = connection.execute(SQL["alerts_waiting"], row).fetchall()
    age_s = (now - waiting["oldest"]).total_seconds() if waiting["oldest"] else 0.0
    return {
        "penstock_alerts_waiting": {(): waiting["events"]},
        "penstock_alerts_oldest_waiting_seconds": {(): max(age_s, 0.0)},
        "penstock_alerts_sent_total": {(): told.sent},
        "penstock_alerts_failures_total": {(): told.failures},
        "penstock_alerts_given_up_total": {(): told.given_up},
    }


def _policy(connection: Connection, now: datetime) -> dict[str, Samples]:
    live, newest = registry.live(connection), registry.latest(connection)
    assert newest is not None
    found: dict[str, Samples] = {
        "penstock_live_policy_version": {(): live.version},
        "penstock_live_policy_age_seconds": {(): (now - newest.published_at).total_seconds()},
    }
    objective = live.objective
    if isinstance(objective, CostCeiling):
        return found
    return found | {
        "penstock_target_quality": {
            (("reference", objective.reference),): objective.target_quality
        },
        "penstock_quality_tolerance": {(): objective.tolerance},
    }


def _quality(connection: Connection) -> dict[str, Samples]:
    rows = connection.execute(SQL["last_estimates"]).fetchall()
    columns = {"quality": "", "lo": "_low", "hi": "_high"}
    return {
        f"penstock_served_quality{suffix}": {
            (("window", row["window"]),): row[column] for row in rows if row[column] is not None
        }
        for column, suffix in columns.items()
    }


def _planes(connection: Connection) -> dict[str, Samples]:
    planes = fleet.planes(connection)
    answers = Counter(answer for plane in planes for answer in _answers(plane))
    return {
        "penstock_data_planes": {
            (("version", version), ("status", status)): count
            for (version, status), count in sorted(answers.items())
        },
        "penstock_data_planes_behind": {(): sum(plane.late for plane in planes)},
    }


def _answers(plane: fleet.Plane) -> Iterator[tuple[str, str]]:
    """By version, what it answered last."""
    status = "nack" if plane.refused else "ack"
    for version in plane.refused or plane.serves:
        yield str(version), status
