"""`penstock dashboard`: what an operator looks at, in a browser."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands.options import CONFIG_FILE, ConfigFile, configured, opened

if TYPE_CHECKING:
    from controlplane.database import Database
    from dataplane.contract.configuration import Configuration

LOOK_EVERY_S = 0.5


def dashboard(
    database_url: Annotated[
        str | None,
        typer.Option(help="Of role penstock_dashboard; better in DATABASE_URL_DASHBOARD."),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The TCP port.")] = None,
    config: ConfigFile = CONFIG_FILE,
) -> None:
    """Serve the dashboard until Ctrl-C; the embedded database runs as long."""
    from controlplane.launch import stop_like_ctrl_c  # noqa: PLC0415 - only where it is needed

    configuration = _listening(configured(config), port)
    configuration.dashboard.listen.check_free("dashboard.listen")
    stop_like_ctrl_c()
    try:
        with _database(configuration, database_url) as database:
            _serve(configuration, database)
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


def _serve(configuration: "Configuration", database: "Database") -> None:
    from controlplane import planes  # noqa: PLC0415 - only where it is needed
    from controlplane.launch import running  # noqa: PLC0415

    program = planes.dashboard(configuration, database, os.environ)
    with running(program, configuration.data_dir / "logs") as part:
        typer.echo(f"dashboard at {configuration.dashboard.listen.url} (Ctrl-C ends it)", err=True)
        while True:
            part.check()
            time.sleep(LOOK_EVERY_S)
