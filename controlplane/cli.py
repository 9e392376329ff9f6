"""The `penstock` command: the composition root. Each group of commands is a file in `commands/`.

What a command needs is imported when it runs: `penstock --help` loads no plane, store or learner.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from controlplane.commands import (
    advise,
    config,
    control,
    cost,
    dashboard,
    db,
    demo,
    doctor,
    export,
    judge,
    key,
    label,
    policy,
    prior,
    replay,
    serve,
    shadow,
    up,
)
from dataplane.contract.errors import OperatorError

OPERATOR_ERROR = 2  # exit code: something that the operator can mend

app = typer.Typer(
    help="Serve a target quality at the least cost, and keep proving it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (config, db, judge, key, label, policy, shadow):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])
for command in (
    advise.advise,
    control.control,
    cost.cost,
    dashboard.dashboard,
    demo.demo,
    doctor.doctor,
    export.export,
    prior.prior,
    replay.replay,
    serve.serve,
    up.up,
):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback()
def penstock(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Serve a target quality at the least cost, and keep proving it."""


def main() -> None:
    """Run the command; what the operator can mend is told without a traceback, exit code 2."""
    try:
        app(prog_name="penstock")
    except OperatorError as error:
        typer.echo(error, err=True)
        sys.exit(OPERATOR_ERROR)
    except BrokenPipeError:  # as in `penstock key list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if not _of_another_schema(error):
            raise
        typer.echo("the database's schema is not this build's: run `penstock db upgrade`", err=True)
        sys.exit(OPERATOR_ERROR)


def _of_another_schema(error: Exception) -> bool:
    """Whether the store lacks what this build knows; who gets such an error has loaded psycopg."""
    psycopg = sys.modules.get("psycopg")
    names = ("UndefinedTable", "UndefinedColumn", "UndefinedFunction")
    return psycopg is not None and isinstance(
        error, tuple(getattr(psycopg.errors, name) for name in names)
    )
