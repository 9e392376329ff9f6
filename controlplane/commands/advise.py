"""`penstock advise`: which of routing, cascading and cascade routing fits the traffic, and why."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, configured, connected

if TYPE_CHECKING:
    from controlplane.advice import Given


def advise(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Say which strategy fits the traffic so far, what the others would cost, and why.

    By the learner's labels and recent queries; at the quality that the objective asks for.
    """
    from controlplane.advice import give  # noqa: PLC0415 - seconds of SciPy and River
    from controlplane.settings import learner_settings  # noqa: PLC0415

    settings = learner_settings(configured(config))
    with connected(config) as connection:
        given = give(connection, settings, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(given.to_json(), indent=2))
    else:
        _show(given)


def _show(given: "Given") -> None:
    from rich import box  # noqa: PLC0415 - only where it is needed
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    console.print(given.verdict, markup=False, highlight=False, soft_wrap=True)
    if not given.advice.options:
        return
    table = Table(
        title=f"at quality {given.advice.quality:.3f}; policy v{given.policy_version} serves "
        f"{given.serves}; +- standard errors",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", no_wrap=True)
    for name in ("of always cloud's cost", "to a dear tier", "judged", "s a query"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in given.advice.options:
        table.add_row(
            each.mode if each.reaches else f"{each.mode}, stops at {each.quality:.3f}",
            f"{each.cost.value:.3f} +- {each.cost.se:.3f}",
            f"{each.dear_share:.1%}",
            f"{each.judged_share:.1%}",
            "" if each.latency_s is None else f"{each.latency_s:.2f}",
        )
    console.print(table)
