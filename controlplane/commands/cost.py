"""`penstock cost`: what was spent lately, and what drove the change."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from controlplane.spending import Spending

LONGEST = 92.0  # days


def cost(
    config: ConfigFile = CONFIG_FILE,
    days: Annotated[float, typer.Option(help="The last so many days ..", max=LONGEST)] = 7.0,
    before: Annotated[
        float, typer.Option(help=".. set against so many days before them.", max=LONGEST)
    ] = 7.0,
    as_json: AsJson = False,
) -> None:
    """Say what was spent lately, and split the change into what drove it.

    Volume, mix, routing, tokens, price, judging, shadowing: in USD, and they sum to the change.
    Spend is what calls of tiers were charged; labels are apart.
    """
    from controlplane.spending import compare  # noqa: PLC0415 - only where it is needed

    if min(days, before) <= 0:
        raise typer.BadParameter("--days and --before must be above 0")
    with connected(config) as connection:
        found = compare(connection, days, before, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    from rich.console import Console  # noqa: PLC0415 - only where it is needed

    _show(Console(), found)


def _show(console: "Console", found: "Spending") -> None:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console.print(found.sentence, markup=False, highlight=False, soft_wrap=True)
    if not found.drift.by_cell:
        return
    console.print(_title(found), markup=False, highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    table.add_column("USD", justify="right", no_wrap=True)
    for name, usd in _rows(found):
        table.add_row(name, usd)
    console.print(table)


def _title(found: "Spending") -> str:
    scaled = "" if found.days == found.earlier_days else ", scaled to the same length"
    return f"the last {found.days:g} days, and the {found.earlier_days:g} before{scaled}"


def _rows(found: "Spending") -> "Iterator[tuple[str, str]]":
    drift = found.drift
    yield "spent before", f"{drift.before_usd:,.4f}"
    for driver, usd in drift.effects.items():
        yield f"  {driver}", f"{usd:+,.4f}"
    yield "spent after", f"{drift.after_usd:,.4f}"
