"""`penstock policy`: what is live, what is coming, and an operator's word on it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from controlplane.commands.evaluate import evaluate
from controlplane.commands.options import (
    CONFIG_FILE,
    AsJson,
    ConfigFile,
    configured,
    connected,
    operator,
)
from dataplane.contract.errors import OperatorError

if TYPE_CHECKING:
    from controlplane.promote import Stage
    from dataplane.contract.policy import PolicyDocument

app = typer.Typer(help="What decides, what is coming, and your word on it.", no_args_is_help=True)

# the policy's own type would load NumPy and Pydantic at every `penstock --help`
Mode: TypeAlias = Literal["route", "cascade", "cascade_route", "always_cloud", "always_local"]
VersionNumber: TypeAlias = Annotated[int, typer.Argument(min=1, help="A stored version's number.")]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.callback()
def group() -> None:
    """What decides, what is coming, and your word on it."""


@app.command()
def start(config: ConfigFile = CONFIG_FILE) -> None:
    """Print the first policy of a configuration: what a data plane decides by until one comes."""
    from controlplane.start import start_policy  # noqa: PLC0415 - a second of SciPy

    typer.echo(start_policy(configured(config), datetime.now(UTC)).to_json())


@app.command("list")
def list_(
    config: ConfigFile = CONFIG_FILE,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List versions, newest first: what is in force, who wrote each and why, who took it."""
    from controlplane import registry  # noqa: PLC0415 - psycopg, only where it is needed
    from controlplane.sql import SQL  # noqa: PLC0415

    with connected(config) as connection:
        rows = connection.execute(SQL["policy_list"], {"limit": last}).fetchall()
        newest = registry.latest(connection)
    force = {part.version: _share(part.share, part.draw) for part in newest.parts} if newest else {}
    if as_json:
        told = [row | {"in_force": force.get(row["version"])} for row in rows]
        typer.echo(json.dumps(told, indent=2, default=str))
        return
    for row in rows:
        at = f"{row['created_at'].astimezone():%Y-%m-%d %H:%M}"
        said = [f"{row['kind']} by {row['author']}, {at}", f"taken by {row['acks']}"]
        said += [f"refused by {row['nacks']}"] if row["nacks"] else []
        said += [force[row["version"]]] if row["version"] in force else []
        typer.echo(f"v{row['version']}  {', '.join(said)}\n    {row['reason']}")


def _share(share: float, draw: float) -> str:
    return f"in force for {share:.0%}" if share else f"compared on {draw:.0%} where it may part"


@app.command()
def show(version: VersionNumber, config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Show a version: how it decides and why; with --json the document itself."""
    from controlplane import proposals, registry  # noqa: PLC0415 - a second of SciPy
    from controlplane.objective import words  # noqa: PLC0415

    with connected(config) as connection:
        policy, found = registry.load(connection, version), proposals.read(connection)
    if as_json:
        typer.echo(policy.to_json())
        return
    parent = f"from v{policy.parent}" if policy.parent else "the first"
    issued = f"{policy.issued_at.astimezone():%Y-%m-%d %H:%M}"
    typer.echo(f"v{version}, {parent}: {policy.kind} by {policy.author}, {issued}")
    typer.echo(f"  {policy.reason}")
    typer.echo(f"  objective: {words(policy.objective)}")
    for segment in policy.segments:
        typer.echo(
            f"  segment {segment.name}: {segment.mode}, lambda {segment.lambda_:.4g}, routing "
            f"threshold {segment.routing_threshold:.4g}, judge cutoff {segment.judge_cutoff:.4g}, "
            f"judge {'trusted' if segment.trust == 'open' else 'on trial'}"
        )
    typer.echo(f"  audits {policy.audit.rate:.1%}, shadows {policy.shadow.rate:.1%}")
    if found is not None and version in (found.version, found.against):
        typer.echo(f"  proposal v{found.version} is {found.stage}: {found.why}")


@app.command()
def diff(
    before: VersionNumber, after: VersionNumber, config: ConfigFile = CONFIG_FILE,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say in words what changes from one version to another."""
    from controlplane import registry  # noqa: PLC0415 - psycopg, only where it is needed
    from controlplane.differences import differences  # noqa: PLC0415

    with connected(config) as connection:
        both = [registry.load(connection, version) for version in (before, after)]
    said = differences(*both)
    if as_json:
        typer.echo(json.dumps(said, indent=2))
        return
    for line in said or [f"v{before} and v{after} decide alike"]:
        typer.echo(line)


@app.command()
def planes(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Say which version each data plane serves, and which are behind or refused the newest one."""
    from controlplane import fleet  # noqa: PLC0415 - psycopg, only where it is needed

    with connected(config) as connection:
        found = fleet.planes(connection)
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in found], indent=2))
        return
    for each in found:
        typer.echo(f"{each.plane}: {each.words}")
    if not found:
        typer.echo("no data plane has taken a policy yet: `penstock up`, or `penstock serve`")


@app.command()
def status(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Say how far the proposal is that is on its way, or what became of the last one."""
    from controlplane import proposals  # noqa: PLC0415 - a second of SciPy

    with connected(config) as connection:
        found = proposals.read(connection)
    told = proposals.summary(found) if found else None
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    elif told is None:
        typer.echo("nothing was proposed yet: `penstock policy propose --mode MODE`")
    else:
        _tell(told)


def _tell(told: dict[str, Any]) -> None:
    parts = told["parts_on"]
    typer.echo(f"v{told['version']} in the place of v{told['against']} is {told['stage']}:")
    typer.echo(f"  {told['reason']}")
    if not told["queries"]:
        return
    asked = f"margin {told['margin']:.3g} of quality"
    if told["promised"] is not None:
        asked = f"{told['promised']:.3g} of quality is promised"
    labelled = "pairs" if told["promised"] is None else "of its answers labelled"
    typer.echo(
        f"  {told['pairs']} {labelled} among {told['queries']} queries; it may serve "
        f"{parts['share']:.1%} of them otherwise [{parts['low']:.1%}, {parts['high']:.1%}]"
    )
    typer.echo(
        f"  e-values: {told['e_value_for']:.3g} for it, {told['e_value_against']:.3g} against it, "
        f"{told['e_value_wanted']:.3g} wanted; {asked}"
    )
    if told["saves_usd_per_query"] is not None:
        saves = 1e6 * told["saves_usd_per_query"]
        typer.echo(f"  expected to save {saves:.1f} USD per million queries")


app.command()(evaluate)


@app.command()
def holdout(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Say what the live policy saves beside the share that keeps the last structural policy."""
    from controlplane.holdout import measured  # noqa: PLC0415 - a second of SciPy

    with connected(config) as connection:
        found = measured(connection)
    if as_json:
        typer.echo(json.dumps(found and found.to_json(), indent=2))
        return
    if found is None:
        typer.echo("nothing is held out: set `proposals.holdout` in penstock.yaml")
        return
    since = f"{found.since.astimezone():%Y-%m-%d %H:%M}"
    typer.echo(f"v{found.version} is held out for {found.share:.0%} of conversations since {since}")
    for name, side in ((f"v{found.version}", found.held), ("live", found.live)):
        quality = f"quality {side.quality.estimate:.3f} " if side.labels else "no label yet "
        typer.echo(
            f"  {name}: {side.queries:,} queries, {1e6 * side.usd:.1f} USD per million, {quality}"
            f"[{side.quality.low:.3f}, {side.quality.high:.3f}] by {side.labels} labels"
        )
    if found.saved is not None:
        saved = found.saved
        typer.echo(f"  saved: {saved.estimate:.1%} [{saved.low:.1%}, {saved.high:.1%}] of serving")


@app.command()
def propose(
    file: Annotated[Path | None, typer.Argument(help="A policy as JSON, - to read it.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Or the live policy in this mode.")] = None,
    config: ConfigFile = CONFIG_FILE,
) -> None:
    """Propose a policy: it takes the live one's place once pairs of labels show that it may."""
    from controlplane import operators, registry  # noqa: PLC0415 - a second of SciPy

    if (file is None) == (mode is None):
        raise OperatorError("propose either a file or --mode MODE")
    with connected(config) as connection:
        live = registry.live(connection)
        document = operators.in_mode(live, mode) if mode else _read(file)
        found = operators.propose(connection, document, operator(), datetime.now(UTC))
    typer.echo(f"v{found.version} is proposed in the place of v{found.against}")
    margin = found.claim.margin
    terms = f"may lose {margin:.3g}" if margin >= 0 else f"has to gain {-margin:.3g}"
    typer.echo(f"it {terms} of quality: `penstock policy status`")


def _read(file: Path | None) -> "PolicyDocument":
    from dataplane.contract.policy import PolicyDocument  # noqa: PLC0415
    from dataplane.contract.publication import reason  # noqa: PLC0415

    assert file is not None
    try:
        text = typer.get_text_stream("stdin").read() if file == Path("-") else file.read_text()
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from None
    try:
        return PolicyDocument.from_json(text)
    except ValueError as error:
        raise OperatorError(f"{file}: {reason(error)}") from None


@app.command()
def promote(
    version: VersionNumber, reason: Reason, config: ConfigFile = CONFIG_FILE, yes: Yes = False
) -> None:
    """Put the proposal in force without waiting for its evidence; it is watched all the same."""
    _move(version, "live", reason, config, yes=yes)


@app.command()
def refuse(
    version: VersionNumber, reason: Reason, config: ConfigFile = CONFIG_FILE, yes: Yes = False
) -> None:
    """Take back the proposal that is on its way."""
    _move(version, "refused", reason, config, yes=yes)


@app.command()
def rollback(
    version: VersionNumber, reason: Reason, config: ConfigFile = CONFIG_FILE, yes: Yes = False
) -> None:
    """Go back to a stored version. The learner goes on from there, unless it is frozen."""
    _restore(version, reason, config, yes=yes, pin=False)


@app.command()
def pin(
    version: VersionNumber, reason: Reason, config: ConfigFile = CONFIG_FILE, yes: Yes = False
) -> None:
    """Go back to a stored version and stay there: the learner moves nothing until `unfreeze`."""
    _restore(version, reason, config, yes=yes, pin=True)


@app.command()
def freeze(config: ConfigFile = CONFIG_FILE) -> None:
    """Stop the learner from moving the policy; it goes on learning."""
    _freeze(config, frozen=True)


@app.command()
def unfreeze(config: ConfigFile = CONFIG_FILE) -> None:
    """Let the learner move the policy again."""
    _freeze(config, frozen=False)


def _freeze(config: Path, *, frozen: bool) -> None:
    from controlplane import operators  # noqa: PLC0415 - a second of SciPy

    with connected(config) as connection:
        operators.freeze(connection, operator(), frozen=frozen)
    typer.echo("the learner moves nothing now" if frozen else "the learner moves the policy again")


def _move(version: int, stage: "Stage", reason: str, config: Path, *, yes: bool) -> None:
    from controlplane import operators, proposals  # noqa: PLC0415 - a second of SciPy
    from controlplane.settings import proposal_terms  # noqa: PLC0415

    with connected(config) as connection:
        found = proposals.read(connection)
    if found is not None and found.version == version:
        _tell(proposals.summary(found))
    _confirm(yes)
    with connected(config) as connection:
        said = version, stage, operator(), reason, datetime.now(UTC)
        operators.move(connection, *said, proposal_terms(configured(config).proposals))
    typer.echo(f"v{version} is {stage.replace('_', ' ')}")


def _restore(version: int, reason: str, config: Path, *, yes: bool, pin: bool) -> None:
    from controlplane import operators, registry  # noqa: PLC0415 - a second of SciPy
    from controlplane.differences import differences  # noqa: PLC0415

    with connected(config) as connection:
        live, wanted = registry.live(connection), registry.load(connection, version)
    typer.echo(f"v{live.version} is live; v{version} would decide instead:")
    for line in differences(live, wanted) or ["no difference"]:
        typer.echo(f"  {line}")
    _confirm(yes)
    with connected(config) as connection:
        operators.restore(connection, version, operator(), reason, datetime.now(UTC), pin=pin)
    typer.echo(f"v{version} is in force{', pinned' if pin else ''}")


def _confirm(yes: bool) -> None:
    if not yes:
        typer.confirm("Do it?", abort=True)
