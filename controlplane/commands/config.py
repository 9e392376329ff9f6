"""`penstock config`: the configuration, checked and described."""

import json
from importlib.resources import files
from pathlib import Path

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, configured

EXAMPLE = "penstock.example.yaml"

app = typer.Typer(help="Write, check or describe penstock.yaml.", no_args_is_help=True)


@app.command()
def check(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Check the configuration: every problem at once, each with its line and column."""
    found = configured(config)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        tiers = ", ".join(tier.name for tier in found.tiers)
        typer.echo(f"{config}: good (tiers {tiers}; gateway at {found.listen})", err=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of penstock.yaml."""
    from dataplane.contract.configuration import json_schema  # noqa: PLC0415

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def example() -> None:
    """Print a configuration to start from: penstock config example > penstock.yaml."""
    typer.echo(_example().read_text("utf-8"), nl=False)


def _example() -> Path:
    """In a wheel the file lies in this package, in a checkout at its root."""
    shipped = Path(str(files("controlplane"))) / EXAMPLE
    return shipped if shipped.exists() else shipped.parents[1] / EXAMPLE
