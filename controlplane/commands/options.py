"""Options that several commands take, and the configuration and store that they name."""

import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeAlias, TypeVar

import typer

from dataplane.contract.errors import OperatorError

if TYPE_CHECKING:
    from controlplane.connection import Connection
    from controlplane.database import Database
    from dataplane.contract.configuration import Configuration

T = TypeVar("T")

ConfigFile: TypeAlias = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="PENSTOCK_CONFIG", help="The configuration file."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]

RecordingFile: TypeAlias = Annotated[
    str, typer.Argument(help="Parquet, CSV or JSONL with one row per (query, model).")
]
LocalModel: TypeAlias = Annotated[
    str, typer.Option(help="The cheapest tier's model, as the file names it.")
]
CloudModel: TypeAlias = Annotated[str, typer.Option(help="The dearest tier's model.")]
Between: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--tier", help="A further tier's model, between the two; may be repeated."),
]
Where: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Keep rows with COLUMN=VALUE; may be repeated.")
]
ByCategory: TypeAlias = Annotated[
    bool, typer.Option("--category", help="Let p_hat see the column `category`, too.")
]
DataFolder: TypeAlias = Annotated[
    Path | None, typer.Option(envvar="PENSTOCK_DATA", help="Where files are looked for, too.")
]

CONFIG_FILE = Path("penstock.yaml")


def chosen(where: Sequence[str] | None) -> dict[str, list[str]]:
    """What ``--where`` keeps: column to its values."""
    kept: dict[str, list[str]] = {}
    for each in where or ():
        column, equals, value = each.partition("=")
        if not equals:
            raise OperatorError(f"--where {each}: give COLUMN=VALUE")
        kept.setdefault(column, []).append(value)
    return kept


def configured(path: Path) -> "Configuration":
    """The configuration in a file; raises ``ConfigurationError``."""
    from dataplane.contract.configuration import load  # noqa: PLC0415 - only where it is needed

    return load(path)


@contextmanager
def opened(configuration: "Configuration") -> Iterator["Database"]:
    """The store: the one that the configuration names, or the embedded server while within.

    Raises ``DatabaseUnavailable``.
    """
    from controlplane import database  # noqa: PLC0415 - 0.3 s of SQLAlchemy

    if configuration.database_url.get_secret_value():
        yield database.external(configuration.database_environment())
    else:
        with database.embedded(configuration.data_dir) as embedded:
            yield embedded


@contextmanager
def connected(path: Path) -> Iterator["Connection"]:
    """A session of the control plane's role; it commits at the end."""
    import psycopg  # noqa: PLC0415 - only where it is needed

    from controlplane.connection import connect  # noqa: PLC0415

    with opened(configured(path)) as database:
        url = database.url_for("penstock_controlplane")
        try:
            with connect(url) as connection:
                yield connection
        except psycopg.errors.UndefinedTable as error:
            raise OperatorError("the database has no schema: run `penstock db upgrade`") from error
        except psycopg.OperationalError as error:
            why = str(error).strip().splitlines()[0].rpartition(" failed: ")[2]
            raise OperatorError(
                f"the database refuses penstock_controlplane ({why}): "
                "run `penstock db upgrade`, or check DATABASE_URL_CONTROLPLANE"
            ) from error


def tracked(items: Sequence[T], doing: str) -> Iterator[T]:
    """The items, with a progress bar on a terminal."""
    from rich.console import Console  # noqa: PLC0415 - only where it is needed
    from rich.progress import track  # noqa: PLC0415

    console = Console(stderr=True)
    hidden = not console.is_terminal
    yield from track(items, doing, console=console, transient=True, disable=hidden)


def becoming(module: str, *arguments: str) -> NoReturn:
    """This process goes on as ``python -m module``: signals and exit code are that one's."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", module, *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - our own modules


def operator() -> str:
    """Whose word a command is, in events and policies."""
    return f"operator {getpass.getuser()}"
