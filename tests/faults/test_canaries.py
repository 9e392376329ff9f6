"""What must never be kept or told: prompts where texts are not kept, and keys anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from controlplane.database import Database
from dataplane.contract.terms import AuditTerms
from tests.planes import RealPlane, answer, eventually, hash_of, issue_key, provider, real_plane
from tests.policies import policy

ASKED = "anna.karenina@canary.example"
SAID = "+49 30 5550 canary"
PROVIDERS_KEY = "sk-canary-of-the-provider-0123456789"
FAIL, QUERIES = "please fail", 12


def indiscreet(body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """It says what it was asked, and whose key it was asked with where it refuses."""
    asked = body["messages"][-1]["content"]
    if FAIL in asked:
        return 401, {"error": {"message": f"wrong key {PROVIDERS_KEY} for the prompt {asked}"}}
    return 200, answer(body["model"], f"call {SAID}", logprob=-(hash_of(asked) % 30) / 10)


@dataclass
class Kept:
    """All that a data plane left behind, and all that it told."""

    files: bytes
    tables: str
    metrics: str
    refusals: str

    def __contains__(self, canary: str) -> bool:
        told = (self.tables, self.metrics, self.refusals)
        return canary.encode() in self.files or any(canary in each for each in told)


def everything(database: Database) -> str:
    """Every row of every table, as text."""
    with psycopg.connect(database.url) as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        rows = [
            str(row)
            for (name,) in names
            for row in connection.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
            )
        ]
    return "\n".join(rows)


def serve(plane: RealPlane, database: Database, key: str) -> list[httpx.Response]:
    """Queries of all kinds; those that were refused."""
    refused = []

    def ask(content: str, bearer: str = key, **fields: Any) -> None:
        body = {"model": "penstock", "messages": [{"role": "user", "content": content}], **fields}
        headers = {"Authorization": f"Bearer {bearer}"}
        with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as client:
            came = client.post("/v1/chat/completions", json=body, headers=headers)
        if came.status_code != 200:
            refused.append(came)
        else:
            assert SAID in came.text

    for number in range(QUERIES):
        ask(f"{number}: write to {ASKED}", stream=number % 3 == 0)
    ask(f"{FAIL}, {ASKED}")
    ask(f"{FAIL}, {ASKED}", stream=True)
    ask(ASKED, bearer="pk_nobody_canary")
    ask(ASKED, temperature="hot, canary.example")
    shipped = "SELECT count(*) FROM completions"
    with psycopg.connect(database.url, autocommit=True) as connection:
        eventually(lambda: (connection.execute(shipped).fetchone() or [0])[0] >= QUERIES)
    return refused


def kept(folder: Path, database: Database, key: str, text: str) -> Kept:
    with (
        provider(indiscreet) as upstream,
        real_plane(
            folder,
            database,
            upstream,
            document=policy("cascade", audit=AuditTerms(rate=1.0)),
            api_key=PROVIDERS_KEY,
            sections=f"text: {text}",
        ) as plane,
    ):
        refused = serve(plane, database, key)
        metrics = httpx.get(f"{plane.url}/metrics", trust_env=False).text
        assert plane.stop() == 0
        plane.configuration.unlink()  # it has the key because it was written there
    assert len(refused) == 4
    files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"dataplane: INFO" in files
    told = "".join(each.text for each in refused)
    return Kept(files, everything(database), metrics, told)


@pytest.mark.parametrize("text", ["none", "all"])
def test_prompts_and_keys_are_nowhere_they_should_not_be(
    tmp_path: Path, database: Database, text: str
) -> None:
    key = issue_key(database.url, "inference")
    found = kept(tmp_path, database, key, text)
    assert key.split("_", 2)[2] not in found
    assert PROVIDERS_KEY not in found
    keeps = text == "all"  # and then the search finds them, in the table of texts
    assert (ASKED in found.tables, SAID in found.tables) == (keeps, keeps)
    assert "canary.example" not in found.metrics + found.refusals
    if not keeps:
        assert ASKED not in found
        assert SAID not in found
