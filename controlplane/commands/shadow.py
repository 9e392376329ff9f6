"""`penstock shadow`: answers that nobody is served."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from controlplane.commands.options import (
    CONFIG_FILE,
    AsJson,
    ConfigFile,
    configured,
    connected,
    opened,
)
from dataplane.contract.errors import OperatorError

app = typer.Typer(help="Answers that nobody is served.", no_args_is_help=True)

KEY_VARIABLE = "PENSTOCK_DATAPLANE_KEY"


@app.callback()
def group() -> None:
    """Answers that nobody is served."""


@app.command()
def status(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Say what became of the shadows that were drawn in the last day, by tier."""
    from controlplane.shadow import funnel  # noqa: PLC0415 - only where it is needed

    with connected(config) as connection:
        found = funnel(connection, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    for each in found:
        typer.echo(
            f"{each.tier}: {each.drawn:,} drawn, {each.done:,} done ({each.unjudgeable:,} "
            f"unjudgeable), {each.failed:,} failed, {each.shed:,} shed, {each.awaited:,} awaited"
        )
    if not found:
        typer.echo("no shadow was drawn in the last day")


@app.command()
def run(
    config: ConfigFile = CONFIG_FILE,
    url: Annotated[
        str | None, typer.Option(help="The data plane's address, if not as configured.")
    ] = None,
) -> None:
    """Work off one batch of the shadows that wait, now, within budgets and quiet hours.

    The data plane's admin key is taken from PENSTOCK_DATAPLANE_KEY.
    """
    from functools import partial  # noqa: PLC0415 - only where it is needed

    import httpx  # noqa: PLC0415

    from controlplane.connection import connect  # noqa: PLC0415
    from controlplane.shadow import ShadowJob, terms  # noqa: PLC0415

    key, configuration = os.environ.get(KEY_VARIABLE), configured(config)
    if not key:
        raise OperatorError(f"{KEY_VARIABLE} is unset: export a key of scope admin")
    headers = {"Authorization": f"Bearer {key}"}
    with (
        opened(configuration) as database,
        httpx.Client(
            base_url=url or configuration.listen.url, headers=headers, trust_env=False
        ) as client,
    ):
        store = partial(connect, database.url_for("penstock_controlplane"))
        ended = ShadowJob(store, client, terms(configuration.shadow)).run(datetime.now(UTC))
    typer.echo(", ".join(f"{count} {ending}" for ending, count in ended.items()) or "nothing waits")
