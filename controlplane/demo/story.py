"""THE STORY OF A RUN: prepare > start the parts > send > settle > replay > score > close."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias

import httpx
from rich.console import Console

from controlplane import app, database, explain, keys
from controlplane.connection import Connection, connect
from controlplane.database import Database
from controlplane.demo import drift, ledger, look, parts, scoreboard, site
from controlplane.demo.account import account, baselines
from controlplane.demo.house import serving
from controlplane.demo.lines import Line, Lines, save
from controlplane.demo.monitor import Monitor, of_place
from controlplane.demo.options import Options
from controlplane.demo.report import Report, close
from controlplane.demo.scoreboard import Change, Scores
from controlplane.demo.settle import settle
from controlplane.demo.site import Site
from controlplane.demo.view import view, words
from controlplane.launch import Part, running
from controlplane.start import start_policy
from controlplane.steps import Steps
from dataplane.contract.keys import Scope

Looking: TypeAlias = Callable[[], AbstractContextManager[str]]
Last: TypeAlias = Callable[[Report, Looking], None]

LOOK_EVERY_S = 0.5
PROMPT_CHARS = 20.0  # of a usual query
NAMES: dict[str, Scope] = {"clients": "inference", "labeller": "label", "control plane": "admin"}


@dataclass(frozen=True, slots=True)
class House:
    """The running parts, and a session of the control plane's role."""

    site: Site
    store: Database
    connection: Connection
    clients_key: str
    planes: list[Part]
    verifier: Part


def run(options: Options, console: Console, last: Last) -> Report:
    """One demo from nothing to its report; raises ``OperatorError``.

    ``last`` comes last, while the run's data can still be looked at: it is handed a context in
    which all runs again, the dashboard at its URL.
    """
    started = time.monotonic()
    steps = Steps(console)
    with site.directory(options.keep) as directory, ExitStack() as stack:
        place = site.prepare(directory, options)
        store = stack.enter_context(_store(steps, place))
        connection = stack.enter_context(connect(store.url_for("penstock_controlplane")))
        connection.autocommit = True
        with _house(steps, place, store, connection, options) as house:
            lines, changed_at = _send(steps, house, options)
            with steps("labels and records"):
                decided = sum(line.decision_id is not None for line in lines)
                settle(connection, house.verifier, house.planes, decided, options.left)
        save(lines, place.directory / "lines.jsonl")
        with steps("replay of decisions"), connection.transaction():
            tally = explain.replay_all(connection)
        scores = _score(steps, place, connection, options, changed_at, lines)
        events = ledger.events_since(connection, 0)
        drifted = options.drift and drift.told(
            options.drift, changed_at, lines, events, options.floor
        )
        spent_s = time.monotonic() - started
        told = account(connection, options, lines, tally, scores, drifted, spent_s)
        gate = [words(each) for each in events if each.kind == "gate"]
        if options.keep is not None or options.looked_at:
            with steps("what pages show"):
                look.sum_up(place, store)
        close(console, told, baselines(scores), options, gate)
        last(told, partial(look.looking, steps, place, store, options))
    return told


@contextmanager
def _store(steps: Steps, place: Site) -> Iterator[Database]:
    """Postgres with its schema and roles."""
    with ExitStack() as stack:
        with steps("Postgres"):
            store = stack.enter_context(database.embedded(place.directory))
        with steps("schema and roles"):
            database.upgrade(store.url)
        yield store


@contextmanager
def _house(
    steps: Steps, place: Site, store: Database, connection: Connection, options: Options
) -> Iterator[House]:
    """Everything but the workload, started in the order of need, stopped in reverse."""
    made = {
        name: keys.create(connection, tenant="demo", scopes=[scope], name=name).reveal()
        for name, scope in NAMES.items()
    }
    _publish_first(place, store, options)
    with ExitStack() as stack:
        planes = stack.enter_context(serving(steps, place, store, options, made["control plane"]))
        if options.freeze:
            _freeze(place, made["control plane"])
        with steps("verifier, SIMULATED"):
            labeller = parts.verifier(place, options, made["labeller"])
            verifier = stack.enter_context(running(labeller, place.logs))
        yield House(place, store, connection, made["clients"], planes, verifier)


def _publish_first(place: Site, store: Database, options: Options) -> None:
    """Version 1: always the cloud, nothing trained; its unit of cost is this traffic's.

    Frozen it stays for the whole run, so it audits and shadows as in quiet times.
    """
    untrained = start_policy(place.configuration, datetime.now(UTC))
    rates: dict[str, object] = {}
    if options.freeze:
        audit, shadow = place.configuration.audit, place.configuration.shadow
        rates["audit"] = untrained.audit.replaced(rate=audit.rate)
        rates["shadow"] = untrained.shadow.replaced(rate=shadow.rate)
    unit_usd = float(untrained.cloud.expected_cost_usd(PROMPT_CHARS))
    first = untrained.replaced(cost_unit_usd=unit_usd, **rates).rederived()
    place.start_policy.write_bytes(first.to_json())
    app.publish_first(partial(connect, store.url_for("penstock_controlplane")), first)


def _freeze(place: Site, admin_key: str) -> None:
    url = f"{place.configuration.control.listen.url}/v1/freeze"
    headers = {"authorization": f"Bearer {admin_key}"}
    said = httpx.post(url, json={"frozen": True}, headers=headers, trust_env=False)
    said.raise_for_status()


def _send(steps: Steps, house: House, options: Options) -> tuple[list[Line], int]:
    """Let the workload send everything, and show what comes of it.

    Beside its lines: the place of the first query after the change half way.
    """
    changed_at: int | None = None
    program = parts.workload(house.site, options, house.clients_key)
    with (
        running(program, house.site.logs, piped=True) as workload,
        steps(f"{options.queries:,} queries"),
        view(steps.console, options) as shown,
    ):
        lines = Lines(workload.lines)
        monitor = Monitor(house.connection, lines, options)
        while not workload.ended:
            for part in (*house.planes, house.verifier):
                part.check()
            if changed_at is None and lines.count >= options.changes_at:
                changed_at = _change(house, options, lines)
            shown.show(monitor.look(changed_at))
            time.sleep(LOOK_EVERY_S)
        workload.wait(0)
        whole = lines.all()
        if changed_at is None:
            changed_at = _change(house, options, lines)
        shown.show(monitor.look(changed_at))
    return whole, changed_at


def _change(house: House, options: Options, lines: Lines) -> int:
    """Let it drift now, and return the place of the first query after that.

    The mix turns by itself, with the traffic; a price as an operator states it.
    """
    if options.answers_drift:
        httpx.post(f"{house.site.drifting_url}/drift", trust_env=False).raise_for_status()
    elif options.drift == "price":
        cheaper = start_policy(site.repriced(house.site).configuration, datetime.now(UTC))
        url = house.store.url_for("penstock_controlplane")
        app.publish_first(partial(connect, url), cheaper)
    else:
        return options.changes_at
    return lines.next_place


def _score(
    steps: Steps,
    place: Site,
    connection: Connection,
    options: Options,
    changed_at: int,
    lines: list[Line],
) -> Scores | None:
    """The baselines, and the quality of what served since; no real cloud is asked twice."""
    if options.cloud is not None or not options.baselines:
        return None
    after = {line.policy_version for line in of_place(lines, changed_at)}
    policies = [each.policy for each in ledger.versions(connection)]
    change = Change(changed_at, policies[0].tiers, policies[-1].tiers)
    wanted = [policy for policy in policies if policy.version in after]
    with steps("baselines"):
        return scoreboard.score(place, options, change, wanted)
