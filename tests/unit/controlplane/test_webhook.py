"""One signed POST: its signature, and what each way of ending means."""

from datetime import UTC, datetime
from ipaddress import ip_address

import httpx
import pytest

from controlplane import webhook
from controlplane.webhook import Webhook, signed
from dataplane.contract import forbidden
from dataplane.contract.alerting import signing_key

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"k" * 32


def hook(answer: httpx.Response | Exception, url: str = "http://127.0.0.1/x?token=t") -> Webhook:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Webhook(url, KEY, httpx.Client(transport=httpx.MockTransport(handle)))


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The vector that the specification's own libraries are tested with."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


@pytest.mark.parametrize("part", ["id", "time", "body", "key"])
def test_a_signature_is_of_all_that_is_sent(part: str) -> None:
    other = signed(
        b"K" * 32 if part == "key" else KEY,
        "b" if part == "id" else "a",
        2 if part == "time" else 1,
        b"[]" if part == "body" else b"{}",
    )
    assert other["webhook-signature"] != signed(KEY, "a", 1, b"{}")["webhook-signature"]


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (200, "sent"),
        (204, "sent"),
        (301, "refused"),
        (307, "refused"),
        (400, "refused"),
        (401, "refused"),
        (410, "refused"),
        (408, "away"),
        (429, "away"),
        (500, "away"),
        (503, "away"),
    ],
)
def test_what_a_status_means(status: int, ending: str) -> None:
    answer = httpx.Response(status, headers={"location": "http://127.0.0.1/elsewhere"})
    said = hook(answer).post("a_1", b"{}", NOW)
    assert (said.ending, said.words) == (ending, f"HTTP {status}")


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("?")],
)
def test_nobody_there_is_no_refusal(error: Exception) -> None:
    said = hook(error).post("a_1", b"{}", NOW)
    assert (said.ending, said.words) == ("away", type(error).__name__)


@pytest.mark.parametrize("url", ["http://no-such-name.invalid/", f"http://{'a' * 64}.example/"])
def test_a_name_that_does_not_resolve_is_nobody(url: str) -> None:
    assert hook(httpx.Response(200), url).post("a_1", b"{}", NOW).ending == "away"


def test_a_name_that_leads_to_a_forbidden_address_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forbidden, "_METADATA", {ip_address("127.0.0.1")})
    said = hook(httpx.Response(200), "http://localhost/").post("a_1", b"{}", NOW)
    assert (said.ending, said.words) == ("away", "PermissionError")


def test_it_shows_neither_its_url_nor_its_key() -> None:
    shown = repr(hook(httpx.Response(200)))
    assert "token" not in shown
    assert "kkk" not in shown


def test_the_client_follows_no_redirect_asks_no_proxy_and_does_not_wait_for_ever() -> None:
    with webhook.client() as made:
        assert not made.follow_redirects
        assert not made.trust_env
        assert made.timeout == httpx.Timeout(webhook.TIMEOUT_S)
