"""The control plane put together: its jobs, its API, and the server that listens."""

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import httpx
import uvicorn
from fastapi import FastAPI

from controlplane import api, objective, push, registry, schedule, webhook
from controlplane.access import Access
from controlplane.alerts import AlertJob
from controlplane.audit import labels
from controlplane.connection import Connect, connect
from controlplane.cycle import Cycle, School
from controlplane.frontier import FrontierJob
from controlplane.judge_reports import ReportJob
from controlplane.leader import Leader
from controlplane.learn.learner import Learner
from controlplane.retention import RetentionJob
from controlplane.rollups import RollupJob
from controlplane.settings import Settings
from controlplane.shadow import ShadowJob
from dataplane.contract.policy import PolicyDocument
from dataplane.heads import BoundedHeads

log = logging.getLogger(__name__)

ATTEMPTS = 3  # at putting penstock.yaml in force, while others publish


def build(settings: Settings) -> FastAPI:
    """The app; its jobs run for as long as it is served."""
    database = partial(connect, settings.database_url)
    leader = Leader(settings.database_url)
    parts = api.Parts(
        database,
        Access(database),
        leader,
        settings.labels,
        settings.learner,
        settings.alerts,
        settings.proposals,
    )
    app = api.build(parts)
    app.router.lifespan_context = partial(_working, settings, database, leader)
    return app


def serve(settings: Settings, start: PolicyDocument) -> None:
    """Publish the start policy if there is none yet, then serve until told to stop."""
    settings.listen.check_free("control.listen")
    publish_first(partial(connect, settings.database_url), start)
    uvicorn.run(
        build(settings),
        host=settings.listen.host,
        port=settings.listen.port,
        http=BoundedHeads,
        server_header=False,
        log_level="warning",
        access_log=False,
    )


def publish_first(database: Connect, start: PolicyDocument) -> None:
    """Put a policy in force where there is none; whoever comes first, it is the same one.

    Where there is one, what changed in ``penstock.yaml`` since is put in force.
    """
    for _ in range(ATTEMPTS):
        try:
            with database() as connection:
                if registry.latest(connection) is None:
                    push.publish(connection, start)
                objective.adopt(connection, start, start.issued_at)
            return
        except registry.ConflictError as conflict:
            log.info("another control plane published meanwhile: %s", conflict)


def school(settings: Settings) -> School:
    """Learners for this configuration."""
    return School(
        fresh=lambda: Learner(settings.tiers, settings.learner, settings.prior),
        restored=lambda text: Learner.from_json(text, settings.learner),
    )


@asynccontextmanager
async def _working(
    settings: Settings, database: Connect, leader: Leader, _: FastAPI
) -> AsyncIterator[None]:
    with _client(settings) as client, webhook.client() as outside:
        actions = _actions(settings, database, leader, client)
        actions |= _alerting(settings, database, leader, outside)
        actions |= _dropping(settings, database, leader)
        runner = schedule.Runner(database, leader, _plane(), actions)
        planned = schedule.jobs(
            settings.retune_interval_s,
            alerts=settings.alerts is not None,
            retention=settings.records_kept is not None,
        )
        scheduler = schedule.start(planned, runner, leader)
        try:
            yield
        finally:
            scheduler.shutdown(wait=True)
            leader.resign()


def _actions(
    settings: Settings, database: Connect, leader: Leader, client: httpx.Client
) -> dict[str, schedule.Action]:
    cycle = Cycle(
        database,
        leader,
        school(settings),
        terms=settings.labels,
        width=settings.width,
        per_day=settings.draws_per_day,
        rollout=settings.proposals,
    )
    shadow = ShadowJob(database, client, settings.shadows)

    def expire(now: datetime) -> str:
        with database() as connection:
            terms = labels.accepting(settings.labels, registry.live(connection))
            return f"{labels.expire(connection, now, terms)} expired"

    def turn(now: datetime) -> str:
        done = cycle.run(now)
        return f"{len(done.observations)} observed, {len(done.labelled)} labelled"

    def ask(now: datetime) -> object:
        if not settings.dataplane_key:
            return "no key for the data plane"
        ended = shadow.run(now)
        return ", ".join(f"{count} {ending}" for ending, count in ended.items()) or None

    return schedule.actions_on(
        database,
        cycle=turn,
        shadow=ask,
        expire=expire,
        judge_report=ReportJob(database, leader).run,
        rollup=RollupJob(database, leader, settings.sums_kept).run,
        frontier=FrontierJob(database, leader, settings.learner).run,
    )


def _alerting(
    settings: Settings, database: Connect, leader: Leader, client: httpx.Client
) -> dict[str, schedule.Action]:
    if settings.alerts is None:
        return {}
    receiver = webhook.Webhook(settings.alerts.url, settings.alerts.key, client)
    return {"alerts": AlertJob(database, leader, receiver, settings.alerts).run}


def _dropping(settings: Settings, database: Connect, leader: Leader) -> dict[str, schedule.Action]:
    if settings.records_kept is None:
        return {}
    return {"retention": RetentionJob(database, leader, settings.records_kept).run}


def _client(settings: Settings) -> httpx.Client:
    headers = {"Authorization": f"Bearer {settings.dataplane_key}"}
    return httpx.Client(base_url=settings.dataplane_url, headers=headers, trust_env=False)


def _plane() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{datetime.now(UTC):%Y%m%dT%H%M%S}"
