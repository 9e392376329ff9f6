"""`penstock label`: labels by people, in bulk and blind, and how many there are."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from controlplane.commands.options import (
    CONFIG_FILE,
    AsJson,
    ConfigFile,
    configured,
    connected,
    tracked,
)
from dataplane.contract.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.audit.funnel import Stage
    from controlplane.audit.labels import Terms
    from controlplane.audit.tasks import Labeller
    from controlplane.connection import Connection

HOLDER = "cli"  # whose lease it is, in place of an API key's id
COUNTS = (
    "drawn", "waiting", "leased", "labelled", "unsure", "expired", "double", "disagreeing",
    "adjudicated", "pairs",
)  # fmt: skip

Who: TypeAlias = Annotated[
    str, typer.Option("--labeller", help="Who labels: a name, each person's own.")
]
Sheet: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE.csv")]

app = typer.Typer(help="Label in bulk, and see how labels stand.", no_args_is_help=True)


@app.command(name="export")
def export(
    file: Sheet,
    labeller: Who,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Queries at most.")] = 100,
    hours: Annotated[float, typer.Option(min=0.01, max=168, help="Until they go to others.")] = 24,
    config: ConfigFile = CONFIG_FILE,
    as_json: AsJson = False,
) -> None:
    """Lease label tasks, and write them for a spreadsheet, Label Studio or Argilla.

    Prompts and answers, without model, score or cost. Fill in the column `value`: a number from 0
    to 1, good, bad or unsure; then `penstock label import`.
    """
    from controlplane.audit import labels, spreadsheet  # noqa: PLC0415 - only where it is needed

    if file.exists():
        raise OperatorError(f"{file}: is there already, and may hold grades: name another file")
    who = _labeller(labeller)
    with connected(config) as connection:
        terms = replace(_terms(connection, config), lease=timedelta(hours=hours))
        tasks = labels.lease(connection, who, limit, datetime.now(UTC), terms)
        with _new(file) as part, part.open("x", encoding="utf-8", newline="") as sheet:
            spreadsheet.write(tasks, sheet)
    answers = sum(len(task.answers) for task in tasks)
    said = {"file": str(file), "queries": len(tasks), "answers": answers, "hours": hours}
    told = f"{file}: {len(tasks):,} queries, {answers:,} answers, leased for {hours:g} hours"
    _tell(said, told, as_json=as_json)


@app.command(name="import")
def import_(
    file: Sheet,
    labeller: Who,
    config: ConfigFile = CONFIG_FILE,
    as_json: AsJson = False,
) -> None:
    """Take the grades of an exported file: all of them, or none. Rows without a value are left.

    Once more, the same file changes nothing.
    """
    from controlplane.audit import labels, spreadsheet  # noqa: PLC0415 - only where it is needed
    from controlplane.audit.tasks import LabelError  # noqa: PLC0415

    who = _labeller(labeller)
    try:
        with file.open(encoding="utf-8-sig", newline="") as sheet:
            graded = spreadsheet.read(sheet, file.name)
    except OSError as error:
        raise OperatorError(
            f"{file}: {error.strerror}: name the file that you filled in"
        ) from error
    except UnicodeDecodeError as error:
        raise OperatorError(f"{file}: not UTF-8 text: save it as CSV UTF-8") from error
    counts = {"labelled": 0, "unsure": 0}
    now = datetime.now(UTC)
    with connected(config) as connection:
        terms = _terms(connection, config)
        for each in tracked(graded, "importing"):
            try:
                became = labels.submit(connection, who, each.decision, each.verdicts, now, terms)
            except LabelError as error:
                raise OperatorError(
                    f"{file.name}:{each.line}: {error}; nothing was imported: "
                    "mend the line, delete it, or export anew"
                ) from error
            counts[became] += 1
        labels.forget(connection)
    told = f"{file}: {counts['labelled']:,} queries labelled, {counts['unsure']:,} unsure"
    _tell({"file": str(file), **counts}, told, as_json=as_json)


@app.command()
def status(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Count what became of the draws, by window and segment, and how far two people agree."""
    from controlplane.audit import funnel  # noqa: PLC0415 - a second of SciPy

    with connected(config) as connection:
        stages = funnel.read(connection, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps([asdict(stage) for stage in stages]))
    elif stages:
        _show(stages)
    else:
        typer.echo("no draw was observed yet: audit.rate of the queries are drawn", err=True)


def _labeller(name: str) -> "Labeller":
    from controlplane.audit.tasks import Labeller  # noqa: PLC0415 - only where it is needed

    if not 1 <= len(name.strip()) <= 100:
        raise OperatorError("--labeller: give a name of 1 to 100 characters")
    return Labeller(name.strip(), HOLDER)


def _terms(connection: "Connection", config: Path) -> "Terms":
    import os  # noqa: PLC0415 - only where it is needed

    from controlplane import registry  # noqa: PLC0415
    from controlplane.audit import labels  # noqa: PLC0415
    from controlplane.settings import label_terms  # noqa: PLC0415 - seconds of SciPy and River

    terms = label_terms(os.environ, configured(config).audit)
    return labels.accepting(terms, registry.live(connection))


@contextmanager
def _new(file: Path) -> Iterator[Path]:
    """A file beside it that takes its place once it is whole."""
    part = file.with_name(f"{file.name}.part")
    try:
        yield part
        part.replace(file)
    except OSError as error:
        raise OperatorError(f"cannot write {file}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _tell(said: Mapping[str, object], told: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(said))
    else:
        typer.echo(told, err=True)


def _show(stages: "Sequence[Stage]") -> None:
    """A table a segment, a column a window: it fits any terminal."""
    from rich import box  # noqa: PLC0415 - only where it is needed
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    for segment in sorted({stage.segment for stage in stages}):
        ours = [stage for stage in stages if stage.segment == segment]
        table = Table(
            Column("queries", no_wrap=True), title=f"segment {escape(segment)}", box=box.SIMPLE_HEAD
        )
        for stage in ours:
            table.add_column(stage.window, justify="right", no_wrap=True)
        for name in COUNTS:
            table.add_row(name, *(f"{getattr(stage, name):,}" for stage in ours))
        table.add_row("quality, at worst", *(escape(_worst(stage)) for stage in ours))
        table.add_row("kappa of pairs", *(escape(_kappa(stage)) for stage in ours))
        Console().print(table)


def _worst(stage: "Stage") -> str:
    """Whatever the silent labels hide."""
    worst = stage.worst
    return "none yet" if worst is None else f"[{worst.low:.3f}, {worst.high:.3f}]"


def _kappa(stage: "Stage") -> str:
    if stage.kappa is None:
        return "none yet"
    kappa = stage.kappa
    return f"{kappa.estimate:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]"
