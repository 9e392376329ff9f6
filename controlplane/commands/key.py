"""`penstock key`: who may call, and for what."""

import json
from dataclasses import asdict
from typing import Annotated, Any, cast

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, connected
from dataplane.contract.keys import Scope

app = typer.Typer(help="Make, list, limit and revoke API keys.", no_args_is_help=True)


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="inference, feedback, label, read or admin; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    spend_usd_per_day: Annotated[
        float | None, typer.Option(help="What it may spend on a UTC day; without it, no limit.")
    ] = None,
    config: ConfigFile = CONFIG_FILE,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it: it is shown this once."""
    from controlplane import keys  # noqa: PLC0415 - only where it is needed

    scopes = cast(list[Scope], scope or ["inference", "feedback"])
    with connected(config) as connection:
        key = keys.create(
            connection, tenant=tenant, scopes=scopes, name=name, spend_usd_per_day=spend_usd_per_day
        )
    if as_json:
        made = {"id": key.id, "key": key.reveal(), "tenant": tenant, "scopes": sorted(set(scopes))}
        typer.echo(json.dumps(made | {"spend_usd_per_day": spend_usd_per_day}))
        return
    typer.echo(f"key {key.id} for {tenant} ({', '.join(scopes)}), shown this once:", err=True)
    typer.echo(key.reveal())


@app.command(name="list")
def list_(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """List the keys, the revoked ones too."""
    from controlplane import keys  # noqa: PLC0415 - only where it is needed

    with connected(config) as connection:
        listed = [asdict(key) for key in keys.listed(connection)]
    if as_json:
        typer.echo(json.dumps(listed, default=str))
    else:
        _show(listed)


@app.command()
def limit(
    key_id: Annotated[str, typer.Argument(help="The id, as `penstock key list` shows it.")],
    usd: Annotated[
        float | None, typer.Argument(help="What it may spend on a UTC day; without it, no limit.")
    ] = None,
    config: ConfigFile = CONFIG_FILE,
) -> None:
    """Say what a key may spend a day, on all data planes together."""
    from controlplane import keys  # noqa: PLC0415 - only where it is needed

    with connected(config) as connection:
        keys.limit(connection, key_id, usd)
    said = "as much as it likes" if usd is None else f"{usd:g} USD a day (UTC)"
    typer.echo(f"key {key_id} may spend {said}", err=True)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id, as `penstock key list` shows it.")],
    config: ConfigFile = CONFIG_FILE,
) -> None:
    """Refuse a key from now on."""
    from controlplane import keys  # noqa: PLC0415 - only where it is needed

    with connected(config) as connection:
        keys.revoke(connection, key_id)
    typer.echo(f"key {key_id} is revoked", err=True)


def _show(listed: list[dict[str, Any]]) -> None:
    from rich import box  # noqa: PLC0415 - only where it is needed
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    limited = any(key["spend_usd_per_day"] is not None for key in listed)
    spent = (Column("USD today", justify="right", no_wrap=True),) if limited else ()
    fixed = (Column(each, no_wrap=True) for each in ("id", "state"))
    scopes = Column("scopes", no_wrap=True)
    columns = (*fixed, "tenant", scopes, "name", *spent)
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for key in listed:
        shown = (key["tenant"], "\n".join(key["scopes"]), key["name"])
        money = (_spent(key),) if limited else ()
        table.add_row(key["id"], _state(key), *map(escape, shown), *money)
    Console().print(table)


def _state(key: dict[str, Any]) -> str:
    made, revoked = key["created_at"], key["revoked_at"]
    return f"revoked {revoked:%Y-%m-%d}" if revoked else f"of {made:%Y-%m-%d}"


def _spent(key: dict[str, Any]) -> str:
    most, today = key["spend_usd_per_day"], key["leased_usd_today"]
    return "" if most is None else f"{today:.3g} of {most:g}"
