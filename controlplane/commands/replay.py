"""`penstock replay`: the learner on a recorded file, beside what else could have been done."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands import options
from dataplane.contract.errors import OperatorError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from controlplane.evaluate.rehearsal import Rehearsal
    from controlplane.evaluate.scoreboard import Line, Report

OUTPUT = Path("-")


def replay(  # noqa: PLR0913, PLR0917 - a command's options
    file: options.RecordingFile,
    local: options.LocalModel,
    cloud: options.CloudModel,
    target: Annotated[
        str, typer.Option(help="Quality to reach: 0.85, or 80% of the way from local to cloud.")
    ],
    judge: Annotated[
        str | None,
        typer.Option(
            help="A numeric column of the local rows, or agreement:MODEL[,MODEL...], asked in turn "
            "until one agrees. None: route."
        ),
    ] = None,
    tier: options.Between = None,
    where: options.Where = None,
    data: options.DataFolder = None,
    cost: Annotated[str, typer.Option(help="The column of USD per call.")] = "cost_usd",
    local_price: Annotated[
        float | None, typer.Option(min=0, help="USD per local call instead.")
    ] = None,
    cloud_price: Annotated[
        float | None, typer.Option(min=0, help="USD per cloud call instead.")
    ] = None,
    judge_price: Annotated[
        float | None, typer.Option(min=0, help="USD per call of a judge instead.")
    ] = None,
    category: options.ByCategory = False,
    tolerance: Annotated[float, typer.Option(min=0, max=1, help="Allowed shortfall.")] = 0.02,
    audit: Annotated[float, typer.Option(min=0, max=1, help="Share of labelled queries.")] = 0.05,
    shadow: Annotated[float, typer.Option(min=0, max=1, help="Share of shadowed ones.")] = 0.02,
    seed: Annotated[int, typer.Option(min=0, help="Of order, draws and intervals.")] = 0,
    shuffle: Annotated[bool, typer.Option(help="Serve in an order drawn by the seed.")] = True,
    repeat: Annotated[int, typer.Option(min=1, help="Serve the file so many times.")] = 1,
    every: Annotated[int, typer.Option(min=1, help="Queries between turns of the cycle.")] = 50,
    prior: Annotated[
        Path | None, typer.Option(help="What `penstock prior` wrote of another recording.")
    ] = None,
    json_to: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to a file, - for output.")
    ] = None,
) -> None:
    """Serve a recorded file as if it were live traffic, learning online from a cold start.

    An outcome is revealed only through the path taken or a draw. The table compares cost, all of
    it charged, and quality with always the same tier, a random mix, the best tier of each category
    (where the file has them) and the oracle. Tiers are ordered by their mean cost.
    """
    from rich.console import Console  # noqa: PLC0415 - only where it is needed

    from controlplane.evaluate import recorded, scoreboard  # noqa: PLC0415
    from controlplane.evaluate.pairing import Wanted, pair  # noqa: PLC0415
    from controlplane.evaluate.rehearsal import Plan, rehearse  # noqa: PLC0415
    from controlplane.learn.prior import NONE, read  # noqa: PLC0415

    wanted = Wanted(
        local=local,
        cloud=cloud,
        judge=judge,
        cost=cost,
        local_price=local_price,
        cloud_price=cloud_price,
        judge_price=judge_price,
        category=category,
        where=options.chosen(where),
        between=tuple(tier or ()),
    )
    path = recorded.find(file, data)
    pairs = pair(recorded.read(path, wanted.columns), wanted)
    plan = Plan(
        target=_target(target, *scoreboard.means(pairs)),
        tolerance=tolerance,
        audit=audit,
        shadow=shadow,
        seed=seed,
        shuffle=shuffle,
        repeat=repeat,
        every=every,
    )
    known = NONE if prior is None else read(prior, len(pairs.tiers))
    rehearsal = rehearse(pairs, plan, known)
    _run(rehearsal, Console(stderr=True))
    report = scoreboard.report(path.name, rehearsal)
    _show(report, Console(stderr=json_to == OUTPUT))
    if json_to == OUTPUT:
        typer.echo(report.model_dump_json(indent=2))
    elif json_to is not None:
        json_to.write_text(f"{report.model_dump_json(indent=2)}\n", "utf-8")


def _target(text: str, local: float, cloud: float) -> float:
    """``0.85``, or ``80%`` of the way from the local to the cloud model's quality."""
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number <= (100 if share else 1):
        raise OperatorError(
            f"--target {text}: give a quality between 0 and 1, as 0.85, or a share of the way "
            "from local to cloud, as 80%"
        )
    return local + number / 100 * (cloud - local) if share else number


def _run(rehearsal: "Rehearsal", console: "Console") -> None:
    from rich.progress import track  # noqa: PLC0415 - only where it is needed

    run = track(
        rehearsal.run(),
        "replaying",
        len(rehearsal),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    for _ in run:
        pass


def _show(report: "Report", console: "Console") -> None:
    for line in _before(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_table(report))
    for line in _after(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _before(report: "Report") -> list[str]:
    judge = f"judge {report.judge}" if report.judge else "no judge: routed only"
    times = f", {report.repeat} times over" if report.repeat > 1 else ""
    lines = [
        f"{report.file}: {report.queries // report.repeat:,} queries{times}, "
        f"{', '.join([f'{report.local} (local)', *report.between])} and {report.cloud} (cloud), "
        f"{judge}"
    ]
    lines += [f"source: {source}" for source in report.sources]
    if report.lacking:
        lines.append(f"left out: {report.lacking:,} queries without an outcome of every model")
    if report.contaminated:
        lines.append(f"dropped: {report.contaminated:,} queries that the file calls contaminated")
    return lines


def _table(report: "Report") -> "Table":
    from rich import box  # noqa: PLC0415 - only where it is needed
    from rich.table import Table  # noqa: PLC0415

    table = Table(
        title=f"target quality {report.target_quality:.3f}; 95 % intervals", box=box.SIMPLE_HEAD
    )
    table.add_column("", no_wrap=True)
    for name in ("quality", "cost USD", "of always cloud"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in (report.penstock, report.penstock_late, *report.baselines):
        table.add_row(*_cells(line))
    return table


def _cells(line: "Line") -> tuple[str, ...]:
    from rich.markup import escape  # noqa: PLC0415 - only where it is needed

    (low, high), (least, most) = line.quality_interval, line.cost_share_interval
    return (
        line.name,
        escape(f"{line.quality:.3f} [{low:.3f}, {high:.3f}]"),
        f"{line.cost_usd:.4g}",
        escape(f"{line.cost_share:.3f} [{least:.3f}, {most:.3f}]"),
    )


def _after(report: "Report") -> list[str]:
    lines = [_verdict(report), _blind(report), _spent(report)]
    if report.repeat > 1:
        lines.append("repeated: p_hat knows labels of earlier passes, so late figures flatter it")
    lines += [f"alarm: {words}" for words in report.alarms]
    lines.append(f"policy v{report.policy_versions[-1].version}: {_last(report)}")
    lines += [f"advice: {report.advice}"] if report.advice else []
    lines.append(f"SIMULATED: {report.simulated}")
    lines.append(f"{report.rows_per_s:,.0f} queries a second ({report.seconds:.1f} s)")
    return lines


def _verdict(report: "Report") -> str:
    got, target = report.penstock_late, report.target_quality
    low, high = got.quality_interval
    figure = f"{got.quality:.3f} [{low:.3f}, {high:.3f}]"
    if not report.target_reachable:
        oracle = report.baselines[-1].quality
        best = f"even the oracle reaches {oracle:.3f}" if oracle < target else "only foresight does"
        return (
            f"the target of {target:.3f} is beyond every model ({best}); "
            f"the last two thirds got {figure}"
        )
    if got.quality >= target:
        return f"the last two thirds reached the target: {figure} against {target:.3f}"
    short = target - got.quality
    kept = "within" if short <= report.tolerance else "MISSED by more than"
    return (
        f"the last two thirds fell {short:.3f} short of the target, "
        f"{kept} the tolerance of {report.tolerance:.3f}: {figure}"
    )


def _blind(report: "Report") -> str:
    saving = report.saving_at_equal_quality
    words = f"{saving:.1%} cheaper" if saving >= 0 else f"{-saving:.1%} dearer"
    return f"all charged, penstock was {words} than a random mix of the quality that it got"


def _spent(report: "Report") -> str:
    return (
        f"{_shared(report)}; {report.labels:,} labels; serving "
        f"{report.serving_cost_usd:.4g}, judging {report.judge_cost_usd:.4g}, shadowing "
        f"{report.shadow_cost_usd:.4g} USD; {len(report.policy_versions)} policy versions"
    )


def _shared(report: "Report") -> str:
    local, *dear = report.shares.items()
    between = [f", {share:.1%} by {tier}" for tier, share in dear[:-1]]
    return f"{local[1]:.1%} answered locally{''.join(between)}"


def _last(report: "Report") -> str:
    return report.policy_versions[-1].reason
