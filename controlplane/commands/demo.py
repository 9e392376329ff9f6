"""`penstock demo`: the whole loop on this machine, no key and no network."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dataplane.contract.errors import OperatorError

if TYPE_CHECKING:
    from controlplane.demo.options import RealCloud
    from controlplane.demo.report import Report
    from controlplane.demo.story import Looking

MISSED = 1  # exit code
KEY_VARIABLE = "OPENAI_API_KEY"
PROMPT_TOKENS, ANSWER_TOKENS = 20, 10  # of a usual query
QUERIES, WITH_DRIFT = 6_000, 8_000
LEAST_WITH_DRIFT = 1_000  # else the run is over before anything was learned


def demo(  # noqa: PLR0913, PLR0917 - a command's options
    queries: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="How many; half way they turn harder, or what --drift names happens.",
            show_default=f"{QUERIES}, with --drift {WITH_DRIFT}",
        ),
    ] = None,
    target: Annotated[float, typer.Option(min=0, max=1, help="Share of right answers.")] = 0.93,
    drift: Annotated[
        Literal["judge", "local", "mix", "price"] | None,
        typer.Option(
            help="Lets one thing drift half way, SIMULATED: see it noticed, named and made good. "
            "The judge's AUROC falls to .6, the local model loses a quarter of its right answers, "
            "the mix turns harder, or the cloud's price falls to .3."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of queries, provider and labeller.")] = 0,
    freeze: Annotated[bool, typer.Option("--freeze", help="Let the learner move nothing.")] = False,
    json_to: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to a file, - for output.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the data in this new directory.")] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Open the dashboard in the end, without asking.")
    ] = False,
    cloud: Annotated[
        Literal["simulated", "openai"],
        typer.Option(help="`openai` costs real money, after an estimate and a yes."),
    ] = "simulated",
    model: Annotated[str | None, typer.Option(help="The real cloud's model.")] = None,
    input_price: Annotated[float, typer.Option(min=0, help="Its USD per million tokens in.")] = 2.5,
    output_price: Annotated[float, typer.Option(min=0, help="And out.")] = 10.0,
) -> None:
    """Serve queries on a cheap local and a dear cloud tier, and watch the policy learn.

    The exit code is 1 where quality missed the target by more than its tolerance.
    """
    from rich.console import Console  # noqa: PLC0415 - only where it is needed

    from controlplane.demo.options import Options  # noqa: PLC0415
    from controlplane.demo.story import run  # noqa: PLC0415
    from controlplane.launch import stop_like_ctrl_c  # noqa: PLC0415

    if json_to is not None and not json_to.parent.is_dir():
        raise OperatorError(f"--json {json_to}: there is no folder {json_to.parent}: create it")
    count = queries or (WITH_DRIFT if drift else QUERIES)
    _check(drift, cloud, count)
    real = None if cloud == "simulated" else _real_cloud(model, input_price, output_price, count)
    console = Console(stderr=True)
    asks = console.is_terminal and sys.stdin.isatty()
    options = Options(
        queries=count,
        target_quality=target,
        seed=seed,
        freeze=freeze,
        keep=keep,
        cloud=real,
        drift=drift,
        looked_at=dashboard or asks,
    )
    stop_like_ctrl_c()

    def last(report: "Report", looking: "Looking") -> None:
        _write(report, json_to)
        if options.looked_at:
            _linger(looking, asks=not dashboard)

    report = run(options, console, last)
    if keep is not None:
        file = keep / "penstock.yaml"
        typer.echo(f"the run's data stays in {keep}: look at it by either of", err=True)
        typer.echo(f"  penstock up --config {file}         # and label, decide, ask why", err=True)
        typer.echo(f"  penstock dashboard --config {file}  # read only", err=True)
    else:
        typer.echo("the run's data is gone: --keep DIR would keep it for the dashboard", err=True)
    if report.missed:
        raise typer.Exit(MISSED)


def _check(drift: str | None, cloud: str, queries: int) -> None:
    """Raises ``OperatorError`` for a drift that could not be shown."""
    if drift and cloud != "simulated":
        raise OperatorError("--drift is SIMULATED, beside a SIMULATED cloud: leave --cloud out")
    if drift and queries < LEAST_WITH_DRIFT:
        raise OperatorError(f"--drift needs --queries {LEAST_WITH_DRIFT} or more: {WITH_DRIFT}")


def _write(report: "Report", file: Path | None) -> None:
    text = report.model_dump_json(indent=2)
    if file == Path("-"):
        typer.echo(text)
    elif file is not None:
        file.write_text(f"{text}\n", "utf-8")


def _linger(looking: "Looking", *, asks: bool) -> None:
    """Show the dashboard on what the run left, until the operator has seen enough."""
    try:
        if asks and not typer.confirm(
            "Look at this run on the dashboard?", default=False, err=True
        ):
            return
        with looking() as url:
            typer.echo(f"dashboard: {url}", err=True)
            typer.prompt("Enter ends the demo", default="", show_default=False, err=True)
    except (typer.Abort, KeyboardInterrupt):  # nobody there, or Ctrl-C: the demo is over either way
        typer.echo(err=True)


def _real_cloud(
    model: str | None, input_price: float, output_price: float, queries: int
) -> "RealCloud":
    """What `--cloud openai` asks for, once the operator has seen what it may cost."""
    from controlplane.demo.options import RealCloud  # noqa: PLC0415 - only where it is needed

    if model is None:
        raise OperatorError("--cloud openai needs --model NAME")
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise OperatorError(f"--cloud openai needs {KEY_VARIABLE}: export it")
    usd = queries * (PROMPT_TOKENS * input_price + ANSWER_TOKENS * output_price) / 1e6
    typer.echo(
        f"REAL MONEY: up to {queries:,} calls of {model} at {input_price:g}/{output_price:g} USD "
        f"per million tokens, about {usd:.2f} USD if all went there",
        err=True,
    )
    typer.confirm("Spend it?", abort=True, err=True)
    return RealCloud(model, key, input_price, output_price)
