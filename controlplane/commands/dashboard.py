"""`penstock dashboard`: what an operator looks at, in a browser."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands.options import CONFIG_FILE, ConfigFile, configured, opened

if TYPE_CHECKING:
    from controlplane.database import Database
    from dataplane.contract.configuration import Configuration

LOOK_EVERY_S = 0.5
ALONE = (
    "the control plane at {url} does not answer: what pages ask it (labelling, the reasons behind "
    "decisions, acts on policies) waits for `penstock up --config {file}`, which starts all"
)


def dashboard(
    database_url: Annotated[
        str | None,
        typer.Option(help="Of role penstock_dashboard; better in DATABASE_URL_DASHBOARD."),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The TCP port.")] = None,
    config: ConfigFile = CONFIG_FILE,
) -> None:
    """Serve the dashboard until Ctrl-C; the embedded database runs as long.

    Where this command may make keys, the dashboard has one for each role, as by `penstock up`.
    """
    from controlplane.launch import stop_like_ctrl_c  # noqa: PLC0415 - only where it is needed

    configuration = _listening(configured(config), port)
    configuration.dashboard.listen.check_free("dashboard.listen")
    stop_like_ctrl_c()
    try:
        with _database(configuration, database_url) as database, _keys(database) as keys:
            _serve(configuration, database, keys, config)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)


def _listening(configuration: "Configuration", port: int | None) -> "Configuration":
    """The configuration with the dashboard on this port."""
    section = configuration.dashboard
    listen = replace(section.listen, port=port or section.listen.port)
    return configuration.model_copy(
        update={"dashboard": section.model_copy(update={"listen": listen})}
    )


@contextmanager
def _database(configuration: "Configuration", url: str | None) -> Iterator["Database"]:
    """The store: what the dashboard's own URL names, else as for every other command."""
    from controlplane.database import Database  # noqa: PLC0415 - only where it is needed

    own = url or configuration.database_url_dashboard.get_secret_value()
    if own:
        yield Database(own, {"penstock_dashboard": own})
    else:
        with opened(configuration) as database:
            yield database


@contextmanager
def _keys(database: "Database") -> Iterator[Mapping[str, str]]:
    """By role; none where the environment has some, or the control plane's rights are not ours."""
    import psycopg  # noqa: PLC0415 - only where it is needed

    from controlplane import planes  # noqa: PLC0415
    from controlplane.connection import connect  # noqa: PLC0415

    given = any(planes.key_variable(role) in os.environ for role in planes.DASHBOARD_SCOPES)
    if given or "penstock_controlplane" not in database.urls:
        yield {}
        return
    session = partial(connect, database.urls["penstock_controlplane"])
    with ExitStack() as stack:
        keys: Mapping[str, str] = {}
        with suppress(psycopg.Error):  # pages tell what is the matter with the store
            keys = stack.enter_context(planes.dashboard_keys(session))
        yield keys


def _serve(
    configuration: "Configuration", database: "Database", keys: Mapping[str, str], file: Path
) -> None:
    from controlplane import planes  # noqa: PLC0415 - only where it is needed
    from controlplane.launch import answers, running  # noqa: PLC0415

    program = planes.dashboard(configuration, database, os.environ, keys)
    with running(program, configuration.data_dir / "logs") as part:
        typer.echo(f"dashboard at {configuration.dashboard.listen.url} (Ctrl-C ends it)", err=True)
        url = configuration.control.listen.url
        if not answers(f"{url}/readyz"):
            typer.echo(ALONE.format(url=url, file=file), err=True)
        while True:
            part.check()
            time.sleep(LOOK_EVERY_S)
