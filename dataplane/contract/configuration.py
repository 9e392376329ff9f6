"""Configuration: what ``penstock.yaml`` says, checked whole before anything starts.

Relative paths are taken from the file's own directory. ``load`` reports every problem at once,
each with its line and column.
"""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, SecretStr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from dataplane.contract import located
from dataplane.contract.address import Address
from dataplane.contract.alerting import Alerts
from dataplane.contract.errors import OperatorError
from dataplane.contract.located import Loc, Located, Problem
from dataplane.contract.sections import (
    MOST_TIERS,
    Audit,
    Beside,
    Control,
    Dashboard,
    Judge,
    Learner,
    Limits,
    Listen,
    Objective,
    Proposals,
    Records,
    Secret,
    Section,
    Shadow,
    Spool,
    Sums,
    Tier,
)

FILE = "penstock.yaml"
FROM_ENVIRONMENT = {  # what these variables say where the file is silent
    "database_url": "DATABASE_URL",
    "database_url_dataplane": "DATABASE_URL_DATAPLANE",
    "database_url_controlplane": "DATABASE_URL_CONTROLPLANE",
    "database_url_dashboard": "DATABASE_URL_DASHBOARD",
}


class ConfigurationError(OperatorError):
    """The configuration cannot be used: one line a problem, as ``file:line:column: ...``."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class Configuration(Section):
    """See the module's docstring; an empty database URL means the embedded Postgres."""

    listen: Listen = Address("127.0.0.1", 8080)
    control: Control = Control()
    dashboard: Dashboard = Dashboard()
    data_dir: Beside = Path(".penstock")
    database_url: Secret = SecretStr("")
    database_url_dataplane: Secret = SecretStr("")
    database_url_controlplane: Secret = SecretStr("")
    database_url_dashboard: Secret = SecretStr("")
    text: Literal["none", "sampled", "all"] = "sampled"
    durability: Literal["process", "power"] = "process"
    spool: Spool = Spool()
    tiers: tuple[Tier, ...]
    objective: Objective
    judge: Judge = Judge()
    audit: Audit = Audit()
    shadow: Shadow = Shadow()
    learner: Learner = Learner()
    proposals: Proposals = Proposals()
    records: Records = Records()
    sums: Sums = Sums()
    limits: Limits = Limits()
    alerts: Alerts | None = None

    def database_environment(self) -> dict[str, str]:
        """The database URLs under the names that the environment has for them."""
        return {
            variable: getattr(self, key).get_secret_value()
            for key, variable in FROM_ENVIRONMENT.items()
        }

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        errors: list[InitErrorDetails] = [
            {"type": PydanticCustomError("conflict", "{why}", {"why": why}), "loc": loc, "input": 0}
            for loc, why in self._conflicts()
        ]
        if errors:
            raise ValidationError.from_exception_data("Configuration", errors)
        return self

    def _conflicts(self) -> Iterator[tuple[Loc, str]]:
        names = [tier.name for tier in self.tiers]
        if not 2 <= len(names) <= MOST_TIERS:
            yield ("tiers",), f"must be 2 to {MOST_TIERS}, the cheapest first; {len(names)} given"
        for index, name in enumerate(names):
            if name in names[:index]:
                yield ("tiers", index, "name"), f'"{name}" is taken; names must differ'
        for index in range(1, len(names)):
            if _dearer(self.tiers[index - 1], self.tiers[index]):
                yield ("tiers", index, "price"), "is below the tier before it; cheapest first"
        if self.judge.tier in names[1:]:
            yield (
                ("judge", "tier"),
                f'"{self.judge.tier}" is also an arm, and would pass judgement on its own use; '
                f'name the first tier, "{names[0]}", or leave it out',
            )
        elif self.judge.tier and self.judge.tier != names[0]:
            yield ("judge", "tier"), f'must be the first tier, "{names[0]}": it is the one judged'


def _dearer(one: Tier, other: Tier) -> bool:
    """Whether one tier costs more than the other for every query."""
    return (
        one.price.input_usd_per_mtok > other.price.input_usd_per_mtok
        and one.price.output_usd_per_mtok > other.price.output_usd_per_mtok
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``penstock.yaml``, for editors."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | Configuration.model_json_schema()


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Configuration:
    """Read and check a configuration file; raises `ConfigurationError` with all problems."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 text; save it as UTF-8"]) from error
    except OSError as error:
        remedy = "write one: penstock config example > penstock.yaml, or name it with --config"
        raise ConfigurationError([f"{path}: {error.strerror}; {remedy}"]) from error
    document = located.read(text, environ)
    configuration, problems = _validated(document, path, environ)
    if configuration is None:
        problems.sort(key=lambda problem: problem.place)
        raise ConfigurationError([f"{path}:{problem}" for problem in problems])
    return configuration


def _validated(
    document: Located, path: Path, environ: Mapping[str, str]
) -> tuple[Configuration | None, list[Problem]]:
    problems = list(document.problems)
    told = {problem.place for problem in problems}
    if document.data is None:
        return None, problems
    if isinstance(document.data, dict):
        for key, variable in FROM_ENVIRONMENT.items():
            document.data.setdefault(key, environ.get(variable, ""))
    try:
        context = {"directory": path.absolute().parent}
        configuration = Configuration.model_validate(document.data, context=context)
    except ValidationError as error:
        found = [_problem(document, details) for details in error.errors(include_url=False)]
        return None, problems + [problem for problem in found if problem.place not in told]
    return (None if problems else configuration), problems


def _problem(document: Located, details: Any) -> Problem:
    loc: Loc = details["loc"]
    place = document.place(loc)
    if details["type"] == "extra_forbidden":
        place = document.keys.get(loc, place)
        return Problem(place, loc, _unknown(loc))
    return Problem(place, loc, _words(details["type"], details["msg"]))


def _words(kind: str, message: str) -> str:
    if kind == "missing":
        return "required, but absent; add it"
    if kind in ("model_type", "tuple_type"):
        return "must be keys and values" if kind == "model_type" else "must be a list"
    plain = message.removeprefix("Value error, ").replace("Input should", "must")
    return plain[:1].lower() + plain[1:]


def _unknown(loc: Loc) -> str:
    known = _keys(loc[:-1])
    close = get_close_matches(str(loc[-1]), known, n=1)
    return (
        f'unknown key; did you mean "{close[0]}"?'
        if close
        else (f"unknown key; known are {', '.join(known)}")
    )


def _keys(loc: Loc) -> list[str]:
    """The keys that the section at ``loc`` knows."""
    section: type[BaseModel] = Configuration
    for part in loc:
        if isinstance(part, str):
            section = _section(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)
