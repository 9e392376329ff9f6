"""`penstock doctor`: is everything in place?"""

import json
from typing import TYPE_CHECKING

import typer

from controlplane.commands.options import CONFIG_FILE, AsJson, ConfigFile, configured, opened
from dataplane.contract.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from controlplane.doctor import Finding

EXIT = {"good": 0, "warning": 1, "bad": 2}


def doctor(config: ConfigFile = CONFIG_FILE, as_json: AsJson = False) -> None:
    """Look at configuration, database, schema, clock, disk, spool, model files and providers.

    Each with its result, and what to do about it. Exit code 0: all is good, 1: warnings, 2: worse.
    """
    found = []
    for finding in _findings(config):
        found.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        from dataclasses import asdict  # noqa: PLC0415 - only where it is needed

        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    raise typer.Exit(max(EXIT[finding.verdict] for finding in found))


def _findings(config: "Path") -> "Iterator[Finding]":
    from controlplane.doctor import Finding, examine  # noqa: PLC0415 - only where it is needed

    try:
        chosen = configured(config)
    except OperatorError as error:
        yield Finding("configuration", "bad", str(error))
        return
    yield from examine(chosen, lambda: opened(chosen))


def _show(finding: "Finding") -> None:
    """A line a finding, and one for the remedy; the verdict is a word, too."""
    colours = {"good": typer.colors.GREEN, "warning": typer.colors.YELLOW, "bad": typer.colors.RED}
    verdict = typer.style(f"{finding.verdict:8}", fg=colours[finding.verdict])
    typer.echo(f"{verdict}{finding.check}: {finding.result}")
    if finding.remedy:
        typer.echo(f"{'':8}{finding.remedy}")
