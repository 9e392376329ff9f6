"""`penstock judge`: whether the judge can be trusted."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, connected, operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from controlplane.audit.judge_checks import Checks
    from controlplane.audit.judge_report import Accuracy, JudgeReport
    from controlplane.stats import Interval

app = typer.Typer(help="Whether the judge can be trusted.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Whether the judge can be trusted."""  # with a callback, a lone command keeps its name


@app.command()
def report(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Say what labels say of the judge: its rates at the cutoff, ranking, calibration, over time.

    By the last 5,000 labelled queries whose local answer was judged, each weighed by one over the
    chance that its label was asked for.
    """
    from controlplane.audit.graded import reports  # noqa: PLC0415 - a second of SciPy
    from controlplane.gates import stand  # noqa: PLC0415
    from controlplane.judge_reports import told  # noqa: PLC0415

    if as_json:
        with connected(config) as connection:
            typer.echo(json.dumps(told(connection), indent=2))
        return
    with connected(config) as connection:
        found, gates = reports(connection), stand(connection)
    from rich.console import Console  # noqa: PLC0415 - only where it is needed

    for each in found:
        _show(Console(), each)
        Console().print(
            f"its {gates[each.segment].words}", markup=False, highlight=False, soft_wrap=True
        )
        if each.checks is not None:
            _check(Console(), each.checks)


@app.command()
def accept(
    config: ConfigFile = CONFIG_FILE,
    segment: Annotated[str, typer.Option(help="Where it may decide.")] = "default",
) -> None:
    """Let the judge decide where it earned that, if the policy wants an operator's yes."""
    from controlplane import gates  # noqa: PLC0415 - a second of SciPy

    with connected(config) as connection:
        policy = gates.accept(connection, segment, datetime.now(UTC), operator())
    typer.echo(f"version {policy.version}: {policy.reason}")


def _show(console: "Console", report: "JudgeReport") -> None:
    head = f"judge {report.judge}, segment {report.segment}: {report.labels:,} labelled answers"
    if report.accuracy is None:
        wrong = report.labels - report.right
        console.print(
            f"{head}, {report.right:,} right and {wrong:,} wrong: {report.missing} more "
            f"{'wrong' if wrong < report.right else 'right'} ones until anything can be said",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    console.print(f"{head}, {report.right:,} right", markup=False, highlight=False, soft_wrap=True)
    _tables(console, report.cutoff, report.accuracy)


def _check(console: "Console", checks: "Checks") -> None:
    """Beside its accuracy: a line each, wrapped."""
    for line in _lines(checks):
        console.print(line, markup=False, highlight=False)


def _lines(checks: "Checks") -> "Iterator[str]":
    told = checks.canaries
    if told.reason:
        yield f"null-answer canaries: not applicable: {told.reason}"
    elif told.accepted is None:
        yield "null-answer canaries: none was asked yet; they ride with shadow draws"
    else:
        had = f"; it accepted {', '.join(map(repr, told.passed))}" if told.passed else ""
        yield f"null-answer canaries: {told.asked:,} asked, accepted {_said(told.accepted)}{had}"
    yield f"position bias: {checks.position}"
    usd, calls = checks.cost.usd, checks.cost.calls
    said = f"[{usd.low:.3g}, {usd.high:.3g}], {calls:,} calls" if calls else "as the policy states"
    yield f"cost of a verdict: {usd.estimate:.3g} USD, {said}"
    if checks.warning:
        yield f"warning: {checks.warning}"
    if held := checks.certificate:
        yield (
            f"certified: scores from {held.score:.4g} up lose at most {held.risk:.1%}, by "
            f"{held.losses} losses among {held.labels:,} pairs"
        )


def _tables(console: "Console", cutoff: float, known: "Accuracy") -> None:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    rates = Table(box=box.SIMPLE_HEAD, show_header=False)
    rates.add_column(no_wrap=True)
    rates.add_column(no_wrap=True, justify="right")
    at = f"accepted at {cutoff:.4g}: "
    for name, interval in {
        "ranks a right answer above a wrong one (AUROC)": known.auroc,
        f"{at}of right answers": known.confusion.tpr,
        f"{at}of wrong answers": known.confusion.fpr,
        f"{at}of all": known.confusion.accepted,
        "right, of those accepted": known.confusion.precision,
        "squared error of its probabilities (Brier)": known.brier,
        "its probabilities are off by (calibration error)": known.calibration.error,
    }.items():
        rates.add_row(name, _said(interval))
    console.print(rates)
    over_time = Table(title="over time", title_justify="left", box=box.SIMPLE_HEAD)
    for name in (
        "from",
        "labels",
        "AUROC",
        "right accepted",
        "wrong accepted",
        "calibration error",
    ):
        over_time.add_column(name, justify="left" if name == "from" else "right", no_wrap=True)
    for each in known.periods:
        told = (each.auroc, each.confusion.tpr, each.confusion.fpr, each.calibration_error)
        since = f"{each.since.astimezone():%Y-%m-%d %H:%M}"
        over_time.add_row(since, f"{each.labels:,}", *(f"{one.estimate:.3f}" for one in told))
    console.print(over_time)


def _said(interval: "Interval") -> str:
    return f"{interval.estimate:.3f}  [{interval.low:.3f}, {interval.high:.3f}]"
