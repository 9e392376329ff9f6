"""The section ``alerts`` of ``penstock.yaml``: whom events are told to, and how that is signed."""

import base64
import binascii
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, StringConstraints

from dataplane.contract.forbidden import is_forbidden
from dataplane.contract.sections import Secret, Section

PREFIX = "whsec_"
KEY_BYTES = (24, 64)  # of Standard Webhooks 1.0.0

SEEN_BY_A_PERSON = (
    "alarm",
    "gate",
    "certificate_void",
    "rollback",
    "drift",
    "conflict",
    "refused",
)


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: Base64, after ``whsec_`` or alone; raises ``ValueError``.

    >>> len(signing_key("whsec_" + "A" * 32))
    24
    """
    least, most = KEY_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not least <= len(key) <= most:
        raise ValueError(
            f"must be {PREFIX} and {least} to {most} random bytes in Base64: "
            f'echo "{PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def _signing(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


def _receiver(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username or parts.fragment:
        raise ValueError("must be without credentials or fragment; alerts are signed instead")
    if is_forbidden(parts.hostname):
        raise ValueError("is a link-local address, where clouds keep their credentials")
    return secret


def _some(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if not kinds:
        raise ValueError("must name one at least; without alerts, leave the section out")
    return kinds


Receiver: TypeAlias = Annotated[Secret, AfterValidator(_receiver)]
SigningSecret: TypeAlias = Annotated[Secret, AfterValidator(_signing)]
EventKind: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*$", max_length=64)]
Deployment: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)
]


class Alerts(Section):
    """A webhook that is told of events of these ``kinds``, signed with the ``secret``.

    Its URL is treated as a secret, for many hold a token. ``deployment`` tells a receiver of
    several Penstocks which one speaks.
    """

    webhook: Receiver
    secret: SigningSecret
    kinds: Annotated[tuple[EventKind, ...], AfterValidator(_some)] = SEEN_BY_A_PERSON
    deployment: Deployment = "penstock"

    @property
    def url(self) -> str:
        """Where alerts go."""
        return self.webhook.get_secret_value()

    @property
    def key(self) -> bytes:
        """What they are signed with."""
        return signing_key(self.secret.get_secret_value())
