import socket
import time
from ipaddress import ip_address

import pytest

from dataplane.contract import forbidden
from dataplane.contract.forbidden import is_forbidden
from dataplane.tiers.addresses import GuardedResolver
from dataplane.tiers.base import TierError, TierUnusableError
from dataplane.tiers.openai import OpenAITier
from tests.scripted_upstream import Exchange, scripted

pytestmark = pytest.mark.anyio

METADATA = [
    "169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "[fe80::1]",
    "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200",
]  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("host", METADATA)
def test_a_forbidden_address_is_refused_by_name_when_configured(host: str) -> None:
    with pytest.raises(TierUnusableError, match="metadata address; give"):
        OpenAITier("cloud", "big", f"http://{host}/v1")


@pytest.mark.parametrize("url", ["http://0251.0376.0251.0376/", "ftp://host/", "api.openai.com"])
def test_what_is_no_url_is_refused_by_name_when_configured(url: str) -> None:
    with pytest.raises(TierUnusableError, match=r"is no .*correct it"):
        OpenAITier("cloud", "big", url)


async def test_a_name_that_leads_to_one_is_not_found() -> None:
    with pytest.raises(OSError, match="metadata address, which is refused"):
        await GuardedResolver().resolve("169.254.169.254", 80)


async def test_a_tier_asks_the_guarded_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.reply({})

    async with scripted(play) as upstream:
        monkeypatch.setattr(forbidden, "_METADATA", {ip_address("127.0.0.1")})
        by_name = upstream.base_url.replace("127.0.0.1", "localhost")
        tier = OpenAITier("cloud", "big", by_name)
        with pytest.raises(TierError) as caught:
            await tier.complete({"messages": []}, time.monotonic() + 5)
        await tier.close()
    assert caught.value.kind == "connect"
    assert upstream.accepted == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1", "api.openai.com", "localhost"])
def test_others_are_the_operators_business(host: str) -> None:
    assert not is_forbidden(host)


async def test_names_are_still_resolved() -> None:
    found = await GuardedResolver().resolve("localhost", 80, socket.AF_INET)
    assert found[0]["host"] == "127.0.0.1"
