"""Ledger: what the store says of a run, read with the control plane's own rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from controlplane.connection import Connection
from controlplane.sql import parse
from dataplane.contract.policy import PolicyDocument

SQL = parse((files(__package__) / "ledger.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are of each; ``awaited`` are not resolved yet."""

    decisions: int
    completions: int
    observed: int
    label_tasks: int
    labels_awaited: int
    labels_to_learn: int
    shadows_awaited: int
    labels: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Quality of ``n`` served answers as the audit sees it, with its interval."""

    n: int
    quality: float
    low: float
    high: float
    labels: int


@dataclass(frozen=True, slots=True)
class Version:
    """A policy, whether a data plane took it, and how many decisions it made."""

    policy: PolicyDocument
    acked: bool
    decisions: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the control plane wrote down for people."""

    id: int
    at: datetime
    kind: str
    body: Mapping[str, Any]


def counts(connection: Connection) -> Counts:
    """All counts at one moment."""
    row = connection.execute(SQL["counts"]).fetchone()
    assert row is not None
    return Counts(**row)


def spent(connection: Connection) -> dict[str, float]:
    """Purpose to money, over every attempt."""
    return {row["purpose"]: float(row["cost_usd"]) for row in connection.execute(SQL["spent"])}


def estimate(connection: Connection, window: str = "run") -> Estimate | None:
    """The latest, None before the first interval."""
    row = connection.execute(SQL["estimate"], {"window": window}).fetchone()
    if row is None:
        return None
    return Estimate(row["n"], row["quality"], row["lo"], row["hi"], row["detail"]["labels"])


def events_since(connection: Connection, last: int) -> list[Event]:
    """What was written down after the event of that id, in order."""
    rows = connection.execute(SQL["events_since"], {"id": last})
    return [Event(row["id"], row["at"], row["kind"], row["body"]) for row in rows]


def versions(connection: Connection) -> list[Version]:
    """All of them, the first first."""
    return [
        Version(PolicyDocument.from_json(row["document"]), row["acked"], row["decisions"])
        for row in connection.execute(SQL["versions"])
    ]


def cloud_call_usd(connection: Connection, tier: str) -> float | None:
    """What a call of that tier costs on average, of late; None before the first."""
    row = connection.execute(SQL["cloud_call"], {"tier": tier}).fetchone()
    return None if row is None or row["cost_usd"] is None else float(row["cost_usd"])
