"""Look: a finished run on the dashboard, with all running again that its pages ask."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial

from controlplane import keys, planes
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.demo import parts
from controlplane.demo.house import serving
from controlplane.demo.options import Options
from controlplane.demo.site import Site
from controlplane.frontier import FrontierJob
from controlplane.judge_reports import ReportJob
from controlplane.launch import running
from controlplane.leader import Leader
from controlplane.rollups import RollupJob
from controlplane.settings import learner_settings
from controlplane.steps import Steps


@contextmanager
def looking(steps: Steps, place: Site, store: Database, options: Options) -> Iterator[str]:
    """The dashboard's URL, for as long as it runs, with keys for every role; no query is sent."""
    session = partial(connect, store.url_for("penstock_controlplane"))
    with ExitStack() as stack:
        admin = stack.enter_context(keys.lent(session, ["admin"], "control plane"))
        roles = stack.enter_context(planes.dashboard_keys(session))
        stack.enter_context(serving(steps, place, store, options, admin))
        with steps("dashboard"):
            stack.enter_context(running(parts.dashboard(place, store, roles), place.logs))
        yield place.configuration.dashboard.listen.url


def sum_up(place: Site, store: Database) -> None:
    """Do once what jobs do now and then, so that pages show all of a run that is over.

    Nobody else may lead meanwhile.
    """
    url, now = store.url_for("penstock_controlplane"), datetime.now(UTC)
    session = partial(connect, url)
    with Leader(url) as leader:
        leader.leads()
        RollupJob(session, leader).run(now)
        ReportJob(session, leader).run(now)
        FrontierJob(session, leader, learner_settings(place.configuration)).compute(now)
