"""`penstock db`: the schema of the store."""

import typer

from controlplane.commands.options import CONFIG_FILE, ConfigFile, configured, opened

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look after the database."""  # with a callback, a lone command keeps its name


@app.command()
def upgrade(config: ConfigFile = CONFIG_FILE) -> None:
    """Bring the schema up to date; run as often as you like."""
    from controlplane.database import adopt_passwords, upgrade  # noqa: PLC0415 - 0.3 s to import

    applied: list[str] = []
    with opened(configured(config)) as database:
        upgrade(database.url, applied.append)
        adopt_passwords(database)
    for revision in applied:
        typer.echo(f"applied {revision}", err=True)
    typer.echo("the schema is up to date", err=True)
