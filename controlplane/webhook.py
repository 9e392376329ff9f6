"""One signed POST, after Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks).

The URL is the operator's alone; redirects are not followed, and what a receiver answers is not
read: its status is all that counts.
"""

import base64
import hashlib
import hmac
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

import httpx

from dataplane.contract.forbidden import is_forbidden

TIMEOUT_S = 10.0
MAY_PASS = frozenset({408, 425, 429})  # of 4xx, those that say nothing of what was sent

Ending: TypeAlias = Literal["sent", "refused", "away"]


@dataclass(frozen=True, slots=True)
class Said:
    """How a POST ended: taken, refused as it is, or nobody there who could say."""

    ending: Ending
    words: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver, and the key that it knows us by; ``client`` follows no redirects."""

    url: str = field(repr=False)
    key: bytes = field(repr=False)
    client: httpx.Client

    def post(self, message_id: str, body: bytes, now: datetime) -> Said:
        """Send one message; never raises for what the receiver or the network does."""
        headers = signed(self.key, message_id, int(now.timestamp()), body)
        try:
            _check_host(httpx.URL(self.url).host)
            with self.client.stream(
                "POST", self.url, content=body, headers=headers, timeout=TIMEOUT_S
            ) as response:
                return _said(response.status_code)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return Said("away", type(error).__name__)


def client() -> httpx.Client:
    """What webhooks are sent with."""
    return httpx.Client(follow_redirects=False, trust_env=False, timeout=TIMEOUT_S)


def signed(key: bytes, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The headers of a message; ``timestamp`` is of this attempt, in Unix seconds."""
    content = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "penstock",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _said(status: int) -> Said:
    words = f"HTTP {status}"
    if 200 <= status < 300:
        return Said("sent", words)
    refused = 300 <= status < 500 and status not in MAY_PASS
    return Said("refused" if refused else "away", words)


def _check_host(host: str) -> None:
    """A name that leads to where clouds keep their credentials is not called."""
    for *_, address in socket.getaddrinfo(host, None):
        if is_forbidden(str(address[0])):
            raise PermissionError("the webhook's name leads to a forbidden address")
