"""`penstock policy evaluate`: what a policy would have been worth on the log."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, connected
from dataplane.contract.errors import OperatorError

if TYPE_CHECKING:
    from controlplane.evaluate.off_policy import Evaluation, Worth
    from controlplane.stats import Interval

LAST = 5_000


def evaluate(
    version: Annotated[int, typer.Argument(help="The policy's version.", min=1)],
    config: ConfigFile = CONFIG_FILE,
    last: Annotated[int, typer.Option(help="How many queries to look back on.", min=1)] = LAST,
    as_json: AsJson = False,
) -> None:
    """Say what a policy would have been worth on the last queries, beside what served them.

    By the labels that audits and shadows brought, each weighed by one over its logged chance; where
    those hardly tell of this policy, that is said instead.
    """
    from controlplane import registry  # noqa: PLC0415 - a second of SciPy
    from controlplane.evaluate import logged, off_policy  # noqa: PLC0415

    with connected(config) as connection:
        document = registry.load(connection, version)
        log = logged.read(connection, last, document.objective.accepts)
    if not log:
        raise OperatorError("no answered query was read yet: serve some while the cycle runs")
    found = off_policy.evaluate(document, log)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        _show(found)


def _show(found: "Evaluation") -> None:
    from rich import box  # noqa: PLC0415 - only where it is needed
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=f"on the last {found.queries:,} queries", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for name in ("by", "quality", "effective labels", "USD a query"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, each in ((f"v{found.version}", found.policy), ("as served", found.served)):
        for place, row in enumerate(_rows(each)):
            cost = "" if place else f"{each.usd:.4g}"
            table.add_row("" if place else name, *row, cost)
    console = Console()
    console.print(table)
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _rows(each: "Worth") -> Iterator[tuple[str, str, str]]:
    from controlplane.stats import Refusal  # noqa: PLC0415

    for name, told in (("DR", each.dr), ("SNIPS", each.snips), ("IPS", each.ips)):
        if isinstance(told, Refusal):
            yield name, "refused", ""
        else:
            yield name, _said(told.interval), f"{told.effective_labels:,.0f}"


def _lines(found: "Evaluation") -> Iterator[str]:
    """What the table cannot say: refusals, and the difference."""
    from controlplane.stats import Refusal  # noqa: PLC0415

    mine = f"v{found.version}"
    for name, each in ((mine, found.policy), ("as served", found.served)):
        for refused in dict.fromkeys([each.dr, each.snips, each.ips]):
            if isinstance(refused, Refusal):
                yield f"{name}: {refused.words}"
    if found.policy.unknown:
        yield (
            f"of {found.policy.unknown:.1%} of the queries it is not known what {mine} would have "
            "served: that hinges on a score that nobody saw"
        )
    better = found.better
    if isinstance(better, Refusal):
        yield f"{mine} against what served: {better.words}"
    elif better.share.estimate:
        yield (
            f"{mine} may have answered {better.share.estimate:.1%} of the queries otherwise: "
            f"quality {_said(better.effect, '+')} over all, against what served"
        )
    else:
        yield f"{mine} would have served the same answers"


def _said(interval: "Interval", sign: str = "") -> str:
    ends = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (f"{end:{sign}.3f}" for end in ends)
    return f"{estimate}  [{low}, {high}]"
