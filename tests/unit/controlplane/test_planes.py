"""What the dashboard's process is given: its own role's database, its own keys, and the login."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from controlplane import planes
from controlplane.database import VARIABLES, Database
from dashboard.login import OIDC, Login, LoginError, refusal
from dataplane.contract.configuration import load
from dataplane.contract.sections import Dashboard

ROOT = Path(__file__).parents[3]
ROLES = {"operator": ["ann@example.org"], "reviewer": ["*@labels.example.org"]}
CLIENT = {
    "metadata_url": "https://id.example.org/.well-known/openid-configuration",
    "redirect_uri": "https://penstock.example.org/oauth2callback",
    "client_id": "penstock",
    "client_secret": "s" * 32,
    "cookie_secret": "c" * 32,
}


def told(**section: Any) -> dict[str, str]:
    return planes.login(Dashboard.model_validate(section))


def test_roles_and_the_proxy_arrive() -> None:
    proxy = {"header": "X-Who", "peers": ["10.0.0.0/24"]}
    login = Login.of(told(login="proxy", roles=ROLES, proxy=proxy))
    assert (login.kind, login.header, login.trusts("10.0.0.9")) == ("proxy", "X-Who", True)
    assert login.role("ann@example.org") == "operator"
    assert login.role("rita@labels.example.org") == "reviewer"
    assert not login.trusts(None)


def test_the_identity_provider_arrives() -> None:
    environment = told(login="oidc", roles=ROLES, oidc=CLIENT)
    assert {environment[variable] for variable in OIDC.values()} == set(CLIENT.values())
    assert Login.of(environment).kind == "oidc"


def test_no_login_and_its_permission_arrive() -> None:
    for said in (False, True):
        environment = told(open=said)
        refused = refusal(Login.of(environment), "0.0.0.0", environment)
        assert (refused is None) == said


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"login": "oidc", "roles": ROLES}, "needs the section oidc"),
        ({"login": "proxy"}, "needs roles, or nobody may see anything"),
        ({"roles": {"viewer": ["*example.org"]}}, "viewer"),
        ({"roles": {"viewer": ["a@x.org,b@x.org"]}}, "viewer"),
        ({"proxy": {"header": "X Who"}}, "header"),
    ],
)
def test_what_cannot_be_meant_is_refused(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Dashboard.model_validate(section)


def test_a_network_that_is_none_is_refused_by_the_dashboard() -> None:
    proxy = {"peers": ["10.0.0.0/99"]}
    with pytest.raises(LoginError, match="is no address or network"):
        Login.of(told(login="proxy", roles=ROLES, proxy=proxy))


def test_the_dashboard_reads_by_its_own_role_and_calls_by_its_own_keys() -> None:
    configuration = load(ROOT / "penstock.example.yaml", {"OPENAI_API_KEY": "sk"})
    database = Database("postgresql:///x", {role: f"postgresql://{role}@/x" for role in VARIABLES})
    surroundings = {"PATH": "/bin", **dict.fromkeys(VARIABLES.values(), "canary")}
    program = planes.dashboard(configuration, database, surroundings, {"viewer": "pk_v"})
    assert program.environment == planes.login(configuration.dashboard) | {
        "PATH": "/bin",
        "DATABASE_URL_DASHBOARD": "postgresql://penstock_dashboard@/x",
        "PENSTOCK_CONTROL_URL": configuration.control.listen.url,
        "PENSTOCK_VIEWER_KEY": "pk_v",
    }


def test_without_keys_those_of_the_surroundings_stay() -> None:
    configuration = load(ROOT / "penstock.example.yaml", {"OPENAI_API_KEY": "sk"})
    database = Database("postgresql:///x", {role: f"postgresql://{role}@/x" for role in VARIABLES})
    program = planes.dashboard(configuration, database, {"PENSTOCK_VIEWER_KEY": "pk_own"})
    assert program.environment is not None
    assert program.environment["PENSTOCK_VIEWER_KEY"] == "pk_own"
