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

from controlplane import api, push, registry, schedule
from controlplane.access import Access
from controlplane.audit import labels
from controlplane.connection import Connect, connect
from controlplane.cycle import Cycle, School
from controlplane.leader import Leader
from controlplane.learn.learner import Learner
from controlplane.learn.settings import LearnerSettings
from controlplane.settings import Settings
from controlplane.shadow import ShadowJob
from dataplane.contract.policy import PolicyDocument

log = logging.getLogger(__name__)


def build(settings: Settings) -> FastAPI:
    """The app; its jobs run for as long as it is served."""
    database = partial(connect, settings.database_url)
    leader = Leader(settings.database_url)
    app = api.build(api.Parts(database, Access(database), leader, settings.labels))
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
        log_level="warning",
        access_log=False,
    )


def publish_first(database: Connect, start: PolicyDocument) -> None:
    """Put a policy in force where there is none; whoever comes first, it is the same one."""
    with database() as connection:
        if registry.latest(connection) is None:
            try:
                push.publish(connection, start)
            except registry.ConflictError:
                log.info("another control plane published the start policy")


def school(settings: Settings) -> School:
    """Learners for this configuration."""
    wanted = settings.learner
    learner = LearnerSettings(
        bandit=wanted.bandit,
        kappa=wanted.kappa,
        min_decisions=wanted.min_decisions,
        support=wanted.min_effective_sample,
    ).drawing(settings.audit_rate, settings.shadow_rate)
    return School(
        fresh=lambda: Learner(settings.tiers, learner, settings.prior),
        restored=lambda text: Learner.from_json(text, learner),
    )


@asynccontextmanager
async def _working(
    settings: Settings, database: Connect, leader: Leader, _: FastAPI
) -> AsyncIterator[None]:
    with _client(settings) as client:
        runner = schedule.Runner(
            database, leader, _plane(), _actions(settings, database, leader, client)
        )
        planned = schedule.jobs(settings.learner.retune_interval_s)
        scheduler = schedule.start(planned, runner, leader)
        try:
            yield
        finally:
            scheduler.shutdown(wait=True)
            leader.resign()


def _actions(
    settings: Settings, database: Connect, leader: Leader, client: httpx.Client
) -> dict[str, schedule.Action]:
    cycle = Cycle(database, leader, school(settings))
    shadow = ShadowJob(database, client)

    def expire(now: datetime) -> int:
        with database() as connection:
            return labels.expire(connection, now, settings.labels)

    def turn(now: datetime) -> str:
        done = cycle.run(now)
        return f"{len(done.observations)} observed, {len(done.labelled)} labelled"

    def ask(now: datetime) -> object:
        return shadow.run(now) if settings.dataplane_key else "no key for the data plane"

    return schedule.actions_on(database, cycle=turn, shadow=ask, expire=expire)


def _client(settings: Settings) -> httpx.Client:
    headers = {"Authorization": f"Bearer {settings.dataplane_key}"}
    return httpx.Client(base_url=settings.dataplane_url, headers=headers, trust_env=False)


def _plane() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{datetime.now(UTC):%Y%m%dT%H%M%S}"
