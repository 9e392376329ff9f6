"""`penstock serve`: one data plane, as on a machine of its own."""

from pathlib import Path
from typing import Annotated

import typer

from controlplane.commands.options import CONFIG_FILE, ConfigFile, becoming


def serve(
    config: ConfigFile = CONFIG_FILE,
    start_policy: Annotated[
        Path | None,
        typer.Option(help="Decides until the database names one (`penstock policy start`)."),
    ] = None,
) -> None:
    """Run one data plane until Ctrl-C: the gateway, and the engine where there is one.

    The store is DATABASE_URL_DATAPLANE's; without it the last good policy decides.
    """
    given = [] if start_policy is None else [f"--start-policy={start_policy}"]
    becoming("dataplane", f"--config={config}", *given)
