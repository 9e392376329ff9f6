"""`penstock policy`: the documents that decide."""

from datetime import UTC, datetime

import typer

from controlplane.commands.options import CONFIG_FILE, ConfigFile, configured

app = typer.Typer(help="Look at policies.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look at policies."""  # with a callback, a lone command keeps its name


@app.command()
def start(config: ConfigFile = CONFIG_FILE) -> None:
    """Print the first policy of a configuration: what a data plane decides by until one comes."""
    from controlplane.start import start_policy  # noqa: PLC0415 - a second of SciPy

    typer.echo(start_policy(configured(config), datetime.now(UTC)).to_json())
