"""Login: how people prove who they are, and which role each has. All of it from the environment.

``none``: whoever reaches the page is the operator. ``oidc``: by the identity provider, through
Streamlit. ``proxy``: by the header of a proxy that logs people in and is alone in reaching us.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, cast, get_args

from dashboard.roles import Role

Kind: TypeAlias = Literal["none", "oidc", "proxy"]
Network: TypeAlias = IPv4Network | IPv6Network

KIND = "PENSTOCK_LOGIN"
OPEN = "PENSTOCK_LOGIN_OPEN"  # no login, wherever we listen
HEADER, PEERS = "PENSTOCK_LOGIN_HEADER", "PENSTOCK_LOGIN_PEERS"
ROLES: dict[Role, str] = {  # who matches several has the first
    "operator": "PENSTOCK_LOGIN_OPERATORS",
    "reviewer": "PENSTOCK_LOGIN_REVIEWERS",
    "viewer": "PENSTOCK_LOGIN_VIEWERS",
}
OIDC = {
    "server_metadata_url": "PENSTOCK_OIDC_METADATA_URL",
    "redirect_uri": "PENSTOCK_OIDC_REDIRECT_URI",
    "client_id": "PENSTOCK_OIDC_CLIENT_ID",
    "client_secret": "PENSTOCK_OIDC_CLIENT_SECRET",
    "cookie_secret": "PENSTOCK_OIDC_COOKIE_SECRET",
}
CALLBACK = "/oauth2callback"
_NAME = re.compile(r"[\w.@+'-]+(?: [\w.@+'-]+)*")  # such as the control plane takes for a person's
LONGEST_NAME = 100
SHORTEST_SECRET = 32
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class LoginError(ValueError):
    """A login that is not to be: one line, with the remedy."""


@dataclass(frozen=True, slots=True)
class Login:
    """How people log in; ``peers`` are the addresses from which the proxy's ``header`` counts."""

    kind: Kind = "none"
    header: str = "X-Forwarded-Email"
    peers: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    names: Mapping[Role, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """As the environment says; raises ``LoginError``."""
        kind = environ.get(KIND) or "none"
        if kind not in get_args(Kind):
            raise LoginError(f"{KIND} is '{kind}': set it to none, oidc or proxy")
        names = {role: _listed(environ, variable) for role, variable in ROLES.items()}
        if kind != "none" and not any(names.values()):
            raise LoginError(f"nobody may log in: set {', '.join(ROLES.values())}")
        header = environ.get(HEADER) or "X-Forwarded-Email"
        given = _listed(environ, PEERS)
        peers = {"peers": tuple(map(_network, given))} if given else {}
        return cls(cast("Kind", kind), header, names=names, **peers)

    def trusts(self, peer: str | None) -> bool:
        """Whether a connection from there is the proxy's; None is this machine."""
        if peer is None:
            peer = "127.0.0.1"
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.peers)

    def role(self, name: str) -> Role | None:
        """Theirs by the first whose names or patterns match, whatever their case; None: nobody.

        >>> login = Login("proxy", names={"operator": ("ann@x.org",), "viewer": ("*@x.org",)})
        >>> login.role("Ann@x.org"), login.role("bob@x.org"), login.role("eve@x.org.evil.org")
        ('operator', 'viewer', None)
        """
        known = name.lower()
        if len(known) > LONGEST_NAME or not _NAME.fullmatch(known):
            return None
        for role in ROLES:
            patterns = (self.names or {}).get(role, ())
            if any(fnmatchcase(known, pattern.lower()) for pattern in patterns):
                return role
        return None


def refusal(login: Login, address: str, environ: Mapping[str, str]) -> str | None:
    """Why it may not be served so; None where it may."""
    if login.kind == "none" and address not in LOOPBACK and environ.get(OPEN) != "yes":
        return (
            f"whoever reaches {address} would be the operator: listen at 127.0.0.1, set "
            f"dashboard.login to oidc or proxy, or, where nobody else can reach it, "
            f"dashboard.open: true ({OPEN}=yes)"
        )
    return _refused_oidc(environ) if login.kind == "oidc" else None


def _refused_oidc(environ: Mapping[str, str]) -> str | None:
    missing = [variable for variable in OIDC.values() if not environ.get(variable)]
    if missing:
        return f"login by OIDC needs {', '.join(missing)}: see penstock.example.yaml"
    if not environ[OIDC["redirect_uri"]].endswith(CALLBACK):
        return f"{OIDC['redirect_uri']} must end in {CALLBACK}"
    if len(environ[OIDC["cookie_secret"]]) < SHORTEST_SECRET:
        return f"{OIDC['cookie_secret']} must have {SHORTEST_SECRET} characters or more"
    if find_spec("authlib") is None:
        return "login by OIDC needs Authlib: pip install 'penstock[oidc]'"
    return None


@contextmanager
def secrets(login: Login, environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What Streamlit is to be told for OIDC: it reads a file, which is there for us alone and as
    long as we serve.
    """
    if login.kind != "oidc":
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="penstock-login-") as folder:
        file = Path(folder, "secrets.toml")
        lines = (f"{name} = {_toml(environ[variable])}" for name, variable in OIDC.items())
        file.touch(mode=0o600)
        file.write_text("\n".join(["[auth]", *lines, ""]), "utf-8")
        yield {"secrets_files": [str(file)]}


def _listed(environ: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """The words between commas."""
    return tuple(word for each in environ.get(variable, "").split(",") if (word := each.strip()))


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise LoginError(f"{PEERS}: '{text}' is no address or network, as 10.0.0.0/24") from None
    if network.prefixlen == 0:
        raise LoginError(f"{PEERS}: '{text}' is everybody: name the proxy's own address")
    return network


def _toml(text: str) -> str:
    """A basic string."""
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'
