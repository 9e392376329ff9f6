"""The planes as programs to start: which module, with which rights, and how one tells it is up."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from controlplane import keys as api_keys
from controlplane.connection import Connect
from controlplane.database import VARIABLES, Database, Role
from controlplane.launch import Program
from dataplane.contract.configuration import Configuration
from dataplane.contract.keys import Scope
from dataplane.contract.sections import Dashboard

SHADOW_KEY = "PENSTOCK_DATAPLANE_KEY"
CONTROL_URL = "PENSTOCK_CONTROL_URL"
DASHBOARD_SCOPES: dict[str, tuple[Scope, ...]] = {  # by the role of who looks
    "viewer": ("read",),
    "reviewer": ("label",),
    "operator": ("read", "label", "admin"),
}


def dataplane(
    configuration: Configuration,
    file: Path,
    start_policy: Path,
    database: Database,
    environment: Mapping[str, str],
) -> Program:
    """The data plane, which starts the engine."""
    return Program(
        "data plane",
        "dataplane",
        (f"--config={file}", f"--start-policy={start_policy}"),
        _with(environment, database, "penstock_dataplane"),
        ready_url=f"{configuration.listen.url}/readyz",
    )


def controlplane(
    configuration: Configuration,
    file: Path,
    admin_key: str,
    database: Database,
    environment: Mapping[str, str],
) -> Program:
    """The control plane; the key, of scope admin, is for its shadow calls."""
    return Program(
        "control plane",
        "controlplane",
        (f"--config={file}",),
        {**_with(environment, database, "penstock_controlplane"), SHADOW_KEY: admin_key},
        ready_url=f"{configuration.control.listen.url}/readyz",
    )


def dashboard(
    configuration: Configuration,
    database: Database,
    environment: Mapping[str, str],
    keys: Mapping[str, str] | None = None,
) -> Program:
    """The dashboard; ``keys``, by role, are what it calls the control plane with."""
    listen = configuration.dashboard.listen
    calls = {CONTROL_URL: configuration.control.listen.url, **login(configuration.dashboard)}
    calls |= {key_variable(role): key for role, key in (keys or {}).items()}
    hosts = [f"--host={name}" for name in configuration.dashboard.hosts]
    return Program(
        "dashboard",
        "dashboard",
        (f"--address={listen.host}", f"--port={listen.port}", "--watch-stdin", *hosts),
        {**_with(environment, database, "penstock_dashboard"), **calls},
        ready_url=f"{listen.url}/_stcore/health",
    )


def key_variable(role: str) -> str:
    """Where the dashboard's process finds the key of a role."""
    return f"PENSTOCK_{role.upper()}_KEY"


@contextmanager
def dashboard_keys(connect: Connect) -> Iterator[dict[str, str]]:
    """By role, what the dashboard calls the control plane with, for as long as it runs."""
    with ExitStack() as stack:
        yield {
            role: stack.enter_context(api_keys.lent(connect, scopes, f"dashboard, {role}"))
            for role, scopes in DASHBOARD_SCOPES.items()
        }


def login(section: Dashboard) -> dict[str, str]:
    """Who may see the dashboard, as its process is told."""
    told = {
        "PENSTOCK_LOGIN": section.login,
        "PENSTOCK_LOGIN_OPEN": "yes" if section.open else "",
        "PENSTOCK_LOGIN_HEADER": section.proxy.header,
        "PENSTOCK_LOGIN_PEERS": ",".join(section.proxy.peers),
    }
    for role, names in section.roles:
        told[f"PENSTOCK_LOGIN_{role.upper()}S"] = ",".join(names)
    for name, value in section.oidc or ():
        said = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        told[f"PENSTOCK_OIDC_{name.upper()}"] = said
    return told


def _with(environment: Mapping[str, str], database: Database, role: Role) -> dict[str, str]:
    """The environment with this role's database URL, and nobody else's."""
    others = {name: value for name, value in environment.items() if not _is_url(name)}
    return {**others, VARIABLES[role]: database.url_for(role)}


def _is_url(name: str) -> bool:
    return name == "DATABASE_URL" or name in VARIABLES.values()
