"""`penstock up`: everything that penstock.yaml names, in one terminal."""

import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.commands.options import CONFIG_FILE, ConfigFile, configured, opened

if TYPE_CHECKING:
    from controlplane.connection import Connection
    from controlplane.database import Database
    from controlplane.launch import Part
    from controlplane.steps import Steps
    from dataplane.contract.configuration import Configuration

LOOK_EVERY_S = 0.5
CALL = """\
  curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "penstock", "messages": [{{"role": "user", "content": "What is 17 + 25?"}}]}}'"""


def up(config: ConfigFile = CONFIG_FILE) -> None:
    """Start store, planes and dashboard as penstock.yaml says; Ctrl-C stops them in order."""
    from rich.console import Console  # noqa: PLC0415 - only where it is needed

    from controlplane.launch import stop_like_ctrl_c  # noqa: PLC0415
    from controlplane.steps import Steps  # noqa: PLC0415

    configuration = configured(config)
    for address, setting in (
        (configuration.listen, "listen"),
        (configuration.control.listen, "control.listen"),
        (configuration.dashboard.listen, "dashboard.listen"),
    ):
        address.check_free(setting)
    _check_models(configuration)
    stop_like_ctrl_c()
    steps = Steps(Console(stderr=True))
    try:
        with ExitStack() as stack:
            parts = _start(stack, steps, configuration, config.absolute())
            _watch(parts)
    except KeyboardInterrupt:
        steps.say("stopped")


def _check_models(configuration: "Configuration") -> None:
    """The engines check theirs, too: this tells it before a database is made."""
    from dataplane.contract.weights import verify  # noqa: PLC0415 - only where it is needed

    for tier in configuration.tiers:
        if tier.engine is not None:
            verify(tier.engine.model, tier.engine.pinned)


def _start(
    stack: ExitStack, steps: "Steps", configuration: "Configuration", file: Path
) -> list["Part"]:
    """Everything in the order of need; the stack stops it in reverse."""
    from controlplane import keys, planes  # noqa: PLC0415 - only where it is needed
    from controlplane.connection import connect  # noqa: PLC0415
    from controlplane.database import check  # noqa: PLC0415
    from controlplane.launch import running  # noqa: PLC0415

    logs = configuration.data_dir / "logs"
    with steps("Postgres"):
        database = stack.enter_context(opened(configuration))
        check(database.url)
    with steps("schema and roles"):
        start = _prepare(configuration, database)
    session = partial(connect, database.url_for("penstock_controlplane"))
    admin = stack.enter_context(keys.lent(session, ["admin"], "penstock up"))
    roles = stack.enter_context(planes.dashboard_keys(session))
    programs = (
        planes.dataplane(configuration, file, start, database, os.environ),
        planes.controlplane(configuration, file, admin, database, os.environ),
        planes.dashboard(configuration, database, os.environ, roles),
    )
    parts = []
    for program in programs:
        with steps(program.name):
            parts.append(stack.enter_context(running(program, logs)))
    _greet(steps, configuration, database, logs)
    return parts


def _prepare(configuration: "Configuration", database: "Database") -> Path:
    """Schema, roles and a first policy; returns the file of the policy that is in force."""
    from controlplane import app, registry  # noqa: PLC0415 - only where it is needed
    from controlplane.connection import connect  # noqa: PLC0415
    from controlplane.database import adopt_passwords, upgrade  # noqa: PLC0415
    from controlplane.start import start_policy  # noqa: PLC0415

    upgrade(database.url)
    adopt_passwords(database)
    session = partial(connect, database.url_for("penstock_controlplane"))
    app.publish_first(session, start_policy(configuration, datetime.now(UTC)))
    file = configuration.data_dir / "start-policy.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with session() as connection:
        file.write_bytes(registry.live(connection).to_json())
    return file


def _greet(
    steps: "Steps", configuration: "Configuration", database: "Database", logs: Path
) -> None:
    from controlplane.connection import connect  # noqa: PLC0415 - only where it is needed

    url = configuration.listen.url
    with connect(database.url_for("penstock_controlplane")) as connection:
        key = _first_key(connection)
    steps.say(f"  gateway    {url}/v1")
    steps.say(f"  control    {configuration.control.listen.url}")
    steps.say(f"  dashboard  {configuration.dashboard.listen.url}")
    steps.say(f"  logs       {logs}")
    if key is not None:
        steps.say(f"  first key, shown this once: {key}")
    steps.say(CALL.format(url=url, key=key or "YOUR_KEY"))
    steps.say("Ctrl-C stops everything")


def _first_key(connection: "Connection") -> str | None:
    """A key for the first client, if there is none yet."""
    from controlplane import keys  # noqa: PLC0415 - only where it is needed

    if any("inference" in known.scopes for known in keys.listed(connection)):
        return None
    made = keys.create(
        connection, tenant="default", scopes=["inference", "feedback"], name="first key"
    )
    return made.reveal()


def _watch(parts: list["Part"]) -> None:
    """For as long as all of them run; raises ``PartFailedError`` for one that ended."""
    while True:
        for part in parts:
            part.check()
        time.sleep(LOOK_EVERY_S)
