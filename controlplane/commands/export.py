"""`penstock export`: closed days of the log, for other tools."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, connected, tracked


def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go; made if need be.")],
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="From this day on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="And up to this one.")
    ] = None,
    config: ConfigFile = CONFIG_FILE,
    as_json: AsJson = False,
) -> None:
    """Write closed days to Parquet: FOLDER/TABLE/DAY.parquet, all records but texts, and labels.

    Run again it writes what is new: later days, and days for which records or labels came late.
    """
    from controlplane import export as days  # noqa: PLC0415 - only where it is needed

    written: list[days.Written] = []
    with connected(config) as connection:
        wanted = [
            (table, day)
            for day in days.closed_days(connection, datetime.now(UTC))
            if (since is None or day >= since.date()) and (until is None or day <= until.date())
            for table in days.TABLES
        ]
        connection.commit()
        for table, day in tracked(wanted, "exporting"):
            if (found := days.export(connection, folder, table, day)) is not None:
                written.append(found)
    if as_json:
        files = [{"file": str(each.path), "rows": each.rows} for each in written]
        typer.echo(json.dumps({"written": files, "days": len(wanted) // len(days.TABLES)}))
        return
    rows = sum(each.rows for each in written)
    closed = f"{len(wanted) // len(days.TABLES)} closed days"
    typer.echo(f"{closed}: {len(written)} files written, {rows:,} rows, in {folder}", err=True)
