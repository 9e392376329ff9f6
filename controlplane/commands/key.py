"""`penstock key`: who may call, and for what."""

import json
from dataclasses import asdict
from typing import Annotated, Any, cast

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, connected
from dataplane.contract.keys import Scope

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="inference, feedback, label, read or admin; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    config: ConfigFile = CONFIG_FILE,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it: it is shown this once."""
    from controlplane import keys  # noqa: PLC0415 - only where it is needed

    scopes = cast(list[Scope], scope or ["inference", "feedback"])
    with connected(config) as connection:
        key = keys.create(connection, tenant=tenant, scopes=scopes, name=name)
    if as_json:
        made = {"id": key.id, "key": key.reveal(), "tenant": tenant, "scopes": sorted(set(scopes))}
        typer.echo(json.dumps(made))
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
    from rich.console import Console  # noqa: PLC0415 - only where it is needed
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    table = Table(Column("id", no_wrap=True), "tenant", "scopes", "name", "created", "revoked")
    for key in listed:
        moments = (key["created_at"], key["revoked_at"])
        created, revoked = (at.strftime("%Y-%m-%d %H:%M") if at else "" for at in moments)
        words = (key["id"], key["tenant"], " ".join(key["scopes"]), key["name"])
        table.add_row(*map(escape, words), created, revoked)
    Console().print(table)
