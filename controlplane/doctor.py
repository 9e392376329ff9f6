"""Doctor: what an operator would look at first, each with its result and the remedy.

Nothing is changed and nothing is charged: of a provider its list of models is asked for.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import httpx
import psycopg

import migrations
from controlplane import database
from controlplane.database import CONNECT_SECONDS, VARIABLES, Database, DatabaseUnavailable
from controlplane.schedule import MOST_AHEAD
from dataplane.contract.configuration import Configuration
from dataplane.contract.sections import Engine, Provider
from dataplane.shipper import QUARANTINE

Verdict: TypeAlias = Literal["good", "warning", "bad"]

MIB = 1 << 20
NO_ROOM = 64 * MIB  # of free disk, below which hardly anything can be kept
LISTED = 5  # models of a provider that are named


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``remedy`` says what to do about it."""

    check: str
    verdict: Verdict
    result: str
    remedy: str = ""


def examine(
    configuration: Configuration, opened: Callable[[], AbstractContextManager[Database]]
) -> Iterator[Finding]:
    """One finding after the other, as they are made; ``opened`` gives the store."""
    yield from _text(configuration)
    yield from _database(configuration, opened)
    for check in (_disk, _spool, _tiers):
        yield from check(configuration)


def _text(configuration: Configuration) -> Iterator[Finding]:
    tiers = ", ".join(tier.name for tier in configuration.tiers)
    yield Finding(
        "configuration", "good", f"tiers {tiers}; the gateway listens at {configuration.listen}"
    )
    if configuration.text == "none":
        yield Finding(
            "text",
            "warning",
            "none is kept: nothing is shadowed, and people have nothing to label",
            "set `text: sampled`, or label by outcomes alone",
        )


def _database(
    configuration: Configuration, opened: Callable[[], AbstractContextManager[Database]]
) -> Iterator[Finding]:
    named = configuration.database_environment()
    made = (configuration.data_dir / "postgres" / "PG_VERSION").exists()
    if not named["DATABASE_URL"] and not made:
        yield Finding("database", "good", "embedded; `penstock up` makes it")
        return
    try:
        with opened() as found:
            yield from _roles(found)
            yield from _owner(found)
    except DatabaseUnavailable as error:
        yield Finding("database", "bad", str(error))
    except psycopg.Error as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        yield Finding("database", "bad", said, "see that it runs, and what DATABASE_URL names")


def _roles(found: Database) -> Iterator[Finding]:
    for role, variable in VARIABLES.items():
        try:
            database.check(found.url_for(role), variable)
        except DatabaseUnavailable as error:
            yield Finding("role", "warning" if role not in found.urls else "bad", str(error))


def _owner(found: Database) -> Iterator[Finding]:
    with psycopg.connect(found.url, connect_timeout=CONNECT_SECONDS, autocommit=True) as owner:
        began = datetime.now(UTC)
        row = owner.execute("SELECT current_setting('server_version'), clock_timestamp()")
        version, theirs = row.fetchone() or ("", began)
        yield Finding("database", "good", f"Postgres {str(version).split()[0]} answers")
        yield _schema(owner)
        yield _clock((began - theirs).total_seconds())


def _schema(owner: psycopg.Connection) -> Finding:
    try:
        row = owner.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    found = str(row[0]) if row else "0000"
    wrong = migrations.amiss(found)
    if wrong is None:
        return Finding("migrations", "good", f"schema {found}")
    return Finding("migrations", "bad", *wrong)


def _clock(ahead_s: float) -> Finding:
    """``ahead_s``: of the database's clock."""
    said = f"{abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's"
    if abs(ahead_s) < 1:
        return Finding("clock", "good", "that of the database, to a second")
    if abs(ahead_s) <= MOST_AHEAD.total_seconds():
        return Finding("clock", "warning", said, "let both follow the same time server")
    stop = "set it right: the control plane does nothing until then"
    return Finding("clock", "bad", said, stop)


def _disk(configuration: Configuration) -> Iterator[Finding]:
    place = configuration.data_dir.absolute()
    there = next(each for each in (place, *place.parents) if each.exists())
    if not os.access(there, os.W_OK):
        yield Finding("disk", "bad", f"{there} cannot be written", "set data_dir, or its owner")
        return
    free, wanted = shutil.disk_usage(there).free, configuration.spool.max_bytes
    said = f"{_mib(free)} free in {there}"
    if free < NO_ROOM:
        yield Finding("disk", "bad", said, "make room: records are dropped, or queries refused")
    elif free < wanted:
        remedy = f"make room, or lower spool.max_bytes: a spool may take {_mib(wanted)}"
        yield Finding("disk", "warning", said, remedy)
    else:
        yield Finding("disk", "good", said)


def _spool(configuration: Configuration) -> Iterator[Finding]:
    place = configuration.data_dir / "dataplane" / "spool"
    waiting = sum(path.stat().st_size for path in place.glob("*.seg"))
    damaged, refused = len(list(place.glob("*.damaged"))), _lines(place / QUARANTINE)
    said = f"{_mib(waiting)} of records on disk"
    if damaged or refused:
        said = f"{damaged} damaged segments and {refused} refused records set aside in {place}"
        yield Finding("spool", "warning", said, "look at them there; nothing reads them again")
    elif waiting > configuration.spool.max_bytes / 2:
        yield Finding("spool", "warning", said, "see that the database takes records")
    else:
        yield Finding("spool", "good", said)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _tiers(configuration: Configuration) -> Iterator[Finding]:
    for tier in configuration.tiers:
        if tier.engine is not None:
            yield _model(tier.name, tier.engine)
        elif tier.provider is not None:
            yield _provider(tier.name, tier.provider)


def _model(tier: str, engine: Engine) -> Finding:
    name = f"model of {tier}"
    try:
        with engine.model.open("rb") as file:
            if engine.pinned is None:
                return Finding(name, "good", f"{engine.model}, not pinned")
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return Finding(name, "bad", f"{engine.model}: {error.strerror}", "name a GGUF file")
    if found == engine.pinned:
        return Finding(name, "good", f"{engine.model} is the pinned file")
    said = f"{engine.model} is another file, of SHA-256 {found}"
    return Finding(name, "bad", said, "fetch the pinned one, or pin this one")


def _provider(tier: str, provider: Provider) -> Finding:
    name, key = f"provider of {tier}", provider.api_key.get_secret_value()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    where = f"{provider.base_url}".rstrip("/")
    try:
        with httpx.Client(trust_env=False, timeout=provider.connect_timeout_s) as client:
            answer = client.get(f"{where}/models", headers=headers)
    except httpx.HTTPError as error:
        said = f"{where} does not answer ({type(error).__name__})"
        return Finding(name, "bad", said, "check base_url, and the way there")
    if answer.status_code in (401, 403):
        return Finding(name, "bad", f"{where} refuses the key", "check api_key")
    if answer.status_code >= 500:
        return Finding(name, "warning", f"{where} answers {answer.status_code}", "try again")
    models = _listed(answer)
    if models and provider.model not in models:
        some = ", ".join(sorted(models)[:LISTED])
        said = f"{where} does not list {provider.model}"
        return Finding(name, "warning", said, f"name one that it does: {some}")
    return Finding(name, "good", f"{where} answers")


def _listed(answer: httpx.Response) -> set[str]:
    try:
        return {str(model["id"]) for model in answer.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return set()


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB"
