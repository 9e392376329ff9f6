"""Ten thousand requests that no client would send: each is answered in OpenAI's way."""

import gzip
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from controlplane.database import Database
from tests.faults.test_gateway_faults import CHAT, all_whole, speak
from tests.fronts import chat
from tests.planes import RealPlane, issue_key, provider, real_plane
from tests.policies import policy

REQUESTS, CLIENTS = 10_000, 4
WARM = 1_000  # requests before memory is looked at
GROWN = 50 << 20
BROKEN = {500, 501, 502, 504}
WORDS = (
    "",
    "hello",
    "\0",
    "a\0b",
    "\ud800",
    "\u202e",
    "\U0001f600" * 9,
    "'; DROP TABLE x",
    "x" * 9999,
)
FIELDS = ("model", "messages", "stream", "max_tokens", "metadata", "temperature", "user", "tools",
          "stream_options", "n", "stop", "response_format", "logprobs")  # fmt: skip
HEADERS = ("x-penstock-conversation", "content-type", "content-encoding", "x-request-id", "accept")


class Sent(NamedTuple):
    """What goes over the wire."""

    path: str
    content: bytes
    headers: dict[bytes, bytes]


def anything(chance: random.Random, depth: int = 3) -> Any:
    """Any JSON value, and some that are none."""
    kinds = (
        lambda: chance.choice(WORDS),
        lambda: chance.choice((0, -1, 1, 2**63, 1e308, -0.0, float("nan"), float("inf"))),
        lambda: chance.choice((None, True, False)),
        lambda: [anything(chance, depth - 1) for _ in range(chance.randrange(4))],
        lambda: {chance.choice(WORDS): anything(chance, depth - 1) for _ in range(3)},
    )
    return kinds[chance.randrange(5 if depth else 3)]()


def body(chance: random.Random) -> bytes:
    """A good request with something wrong, or nothing like one."""
    asked: dict[str, Any] = chat(stream=chance.random() < 0.3)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        asked[chance.choice(FIELDS)] = anything(chance)
    if chance.random() < 0.2:
        message = {"role": chance.choice(("user", "system", "tool", "", None)), "content": None}
        message["content"] = anything(chance)
        asked["messages"] = [*chance.choice(([], chat()["messages"])), message]
    text = json.dumps(asked, ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass")
    match chance.randrange(16):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            return text[: chance.randrange(len(text))]
        case 2:
            return b"[" * chance.randrange(1, 5_000) + text
        case 3:
            place = chance.randrange(len(text))
            return text[:place] + chance.randbytes(3) + text[place + 3 :]
        case 4 if chance.random() < 0.02:
            return json.dumps(chat(content="x" * (10 << 20))).encode()
    return text


def sent(number: int, key: str) -> Sent:
    chance = random.Random(number)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    content = body(chance)
    if chance.random() < 0.15:
        strange = (
            "\t",
            "x" * 4000,
            "application/xml",
            "gzip",
            "..",
            "é".encode().decode("latin-1"),
        )
        headers[chance.choice(HEADERS)] = chance.choice(strange)
    if chance.random() < 0.03:
        content, headers["content-encoding"] = gzip.compress(content), "gzip"
    if chance.random() < 0.05:
        headers["authorization"] = chance.choice(
            ("", "Bearer", "Bearer x", f"Basic {key}", key * 9)
        )
    path = CHAT if chance.random() < 0.9 else chance.choice(("/v1/feedback", "/v1/outcomes", "/x"))
    coded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    return Sent(path, content, coded)


def asked(plane: RealPlane, key: str, numbers: range) -> Counter[int]:
    """Send these; each answer is checked, and counted by its status."""
    seen = Counter[int]()
    with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as client:
        for number in numbers:
            path, content, headers = sent(number, key)
            try:
                answer = client.post(path, content=content, headers=headers)
            except httpx.LocalProtocolError:
                continue  # our own client would not send it
            except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError):
                seen[0] += 1  # cut off in the middle of a body that is too large
                continue
            seen[answer.status_code] += 1
            assert answer.status_code not in BROKEN, (number, answer.text)
            if answer.status_code >= 400:
                said = answer.json()["error"]
                assert {"message", "type"} <= said.keys(), (number, answer.text)
    return seen


def resident(plane: RealPlane) -> int:
    assert plane.process is not None
    status = Path(f"/proc/{plane.process.pid}/status").read_text()
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


@pytest.mark.slow
def test_no_request_breaks_it_or_stays_in_its_memory(tmp_path: Path, database: Database) -> None:
    key = issue_key(database.url, "inference", "feedback")
    with (
        provider(speak) as upstream,
        real_plane(tmp_path, database, upstream, document=policy("cascade")) as plane,
    ):
        asked(plane, key, range(WARM))
        before = resident(plane)
        with ThreadPoolExecutor(CLIENTS) as pool:
            parts = [range(WARM + first, REQUESTS, CLIENTS) for first in range(CLIENTS)]
            found = sum(pool.map(lambda part: asked(plane, key, part), parts), Counter[int]())
        grown = resident(plane) - before
        assert httpx.get(f"{plane.url}/healthz", trust_env=False).status_code == 200
        assert plane.stop() == 0, plane.log
    assert grown < GROWN
    assert found[200] > 1_000
    assert found[400] > 1_000
    assert found[401] > 50
    assert found[0] < 100
    assert "Traceback" not in plane.log
    assert not list(tmp_path.rglob("quarantine*"))
    with psycopg.connect(database.url) as owner:
        (kept,) = owner.execute("SELECT count(*) FROM decisions").fetchone() or (0,)
    assert kept >= found[200] / 2
    assert all_whole(database.url)
