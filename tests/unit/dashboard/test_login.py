"""Who comes in, and which logins are refused at the start."""

import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest

from dashboard import login as logins
from dashboard.login import OIDC, Login, LoginError, refusal, secrets

PROXY = {
    "PENSTOCK_LOGIN": "proxy",
    "PENSTOCK_LOGIN_HEADER": "X-Who",
    "PENSTOCK_LOGIN_PEERS": "10.0.0.0/24, 10.1.0.5",
    "PENSTOCK_LOGIN_OPERATORS": "ann@example.org",
    "PENSTOCK_LOGIN_REVIEWERS": "*@labels.example.org, bob@example.org",
    "PENSTOCK_LOGIN_VIEWERS": "*@example.org",
}
CLIENT = {
    OIDC["server_metadata_url"]: "https://id.example.org/.well-known/openid-configuration",
    OIDC["redirect_uri"]: "https://penstock.example.org/oauth2callback",
    OIDC["client_id"]: "penstock",
    OIDC["client_secret"]: 'quo"te\\d\n',
    OIDC["cookie_secret"]: "c" * 32,
}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("ann@example.org", "operator"),
        ("ANN@Example.org", "operator"),
        ("bob@example.org", "reviewer"),  # and not the viewer that the pattern would make of him
        ("cy@labels.example.org", "reviewer"),
        ("dee@example.org", "viewer"),
        ("eve@example.org.evil.org", None),
        ("eve@evil.org,dee@example.org", None),
        ("eve\n@example.org", None),
        ("x" * 100 + "@example.org", None),
        ("", None),
    ],
)
def test_a_role_is_had_by_name_or_pattern(name: str, role: str | None) -> None:
    assert Login.of(PROXY).role(name) == role


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.7", True),
        ("10.1.0.5", True),
        ("::ffff:10.0.0.7", True),
        ("10.1.0.6", False),
        (None, False),
        ("nonsense", False),
    ],
)
def test_the_header_counts_from_the_proxy_alone(peer: str | None, *, trusted: bool) -> None:
    assert Login.of(PROXY).trusts(peer) is trusted


def test_by_default_the_proxy_is_on_this_machine() -> None:
    login = Login.of({**PROXY, "PENSTOCK_LOGIN_PEERS": ""})
    assert login.trusts(None)
    assert not login.trusts("10.0.0.7")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"PENSTOCK_LOGIN": "yes"}, "set it to none, oidc or proxy"),
        ({"PENSTOCK_LOGIN_PEERS": "0.0.0.0/0"}, "is everybody"),
        ({"PENSTOCK_LOGIN_PEERS": "proxy.example.org"}, "is no address or network"),
        (
            dict.fromkeys(
                (name for name in PROXY if name.endswith("S") and "PEERS" not in name), ""
            ),
            "nobody may log in",
        ),
    ],
)
def test_a_login_that_cannot_be_is_refused(change: dict[str, str], says: str) -> None:
    with pytest.raises(LoginError, match=says):
        Login.of({**PROXY, **change})


def test_without_a_login_only_this_machine_is_served_unless_it_is_said() -> None:
    nobody = Login.of({})
    assert nobody == Login(names={"operator": (), "reviewer": (), "viewer": ()})
    assert refusal(nobody, "127.0.0.1", {}) is None
    assert "dashboard.open: true" in str(refusal(nobody, "0.0.0.0", {}))
    assert refusal(nobody, "0.0.0.0", {"PENSTOCK_LOGIN_OPEN": "yes"}) is None
    assert refusal(Login.of(PROXY), "0.0.0.0", {}) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({OIDC["client_secret"]: ""}, "needs PENSTOCK_OIDC_CLIENT_SECRET"),
        ({OIDC["redirect_uri"]: "https://penstock.example.org/"}, "must end in /oauth2callback"),
        ({OIDC["cookie_secret"]: "short"}, "must have 32 characters or more"),
    ],
)
def test_oidc_without_its_settings_is_refused(change: dict[str, str], says: str) -> None:
    assert says in str(refusal(Login("oidc"), "0.0.0.0", {**CLIENT, **change}))


def test_oidc_without_authlib_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "find_spec", lambda name: None)
    assert "pip install 'penstock[oidc]'" in str(refusal(Login("oidc"), "127.0.0.1", CLIENT))
    monkeypatch.setattr(logins, "find_spec", lambda name: name)
    assert refusal(Login("oidc"), "127.0.0.1", CLIENT) is None


def test_oidcs_secrets_are_streamlits_for_as_long_as_it_serves() -> None:
    with secrets(Login("oidc"), CLIENT) as told:
        (name,) = told["secrets_files"]
        file = Path(name)
        assert file.stat().st_mode & 0o077 == 0
        kept = tomllib.loads(file.read_text("utf-8"))["auth"]
        assert kept == {setting: CLIENT[variable] for setting, variable in OIDC.items()}
    assert not file.exists()
    with secrets(Login("proxy"), CLIENT) as told:
        assert told == {}


def test_networks_are_read() -> None:
    assert Login.of(PROXY).peers == (ip_network("10.0.0.0/24"), ip_network("10.1.0.5/32"))
