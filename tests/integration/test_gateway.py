"""The whole data plane: a real process, a real database, a provider over HTTP."""

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from controlplane.database import Database
from dataplane.contract.records import Decision, Step
from dataplane.contract.terms import AuditTerms, ShadowTerms
from tests.fronts import chat
from tests.planes import RealPlane, fine, free_port, issue_key, provider, real_plane
from tests.policies import policy
from tests.replays import replayed

QUERIES = 150
DOCUMENT = policy(
    "cascade_route", lambda_=0.15, audit=AuditTerms(rate=0.2), shadow=ShadowTerms(rate=0.1)
)


@dataclass
class Run:
    """Many queries, answered and stored."""

    url: str
    ids: list[str]
    statuses: set[int]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, databases: Any, migrated: str) -> Iterator[Run]:
    """Queries that are kept, escalated and sometimes failed, through a plane that then stops."""
    calls = 0

    def moody(body: Any) -> Any:
        nonlocal calls
        calls += 1
        return (500, {"error": {"message": "no"}}) if calls % 17 == 0 else fine(body)

    with databases(migrated) as database, provider(moody) as upstream:
        key = issue_key(database.url, "inference")
        directory = tmp_path_factory.mktemp("plane")
        with real_plane(directory, database, upstream, document=DOCUMENT) as plane:
            responses = ask_many(plane, key)
        assert plane.process is not None
        assert plane.process.returncode == 0, plane.log
        ids = [response.headers["x-penstock-decision-id"] for response in responses]
        yield Run(database.url, ids, {response.status_code for response in responses})


def ask_many(plane: RealPlane, key: str) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=plane.url, headers=headers, trust_env=False) as client:
        return [
            client.post("/v1/chat/completions", json=chat(f"{n} * {n % 13} = ?" * (1 + n % 4)))
            for n in range(QUERIES)
        ]


def rows(url: str, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def test_an_orderly_end_leaves_every_record_in_the_database(run: Run) -> None:
    stored = rows(run.url, "SELECT id::text FROM decisions")
    assert sorted(row["id"] for row in stored) == sorted(run.ids)
    completed = rows(run.url, "SELECT decision_id::text AS id FROM completions")
    assert sorted(row["id"] for row in completed) == sorted(run.ids)
    assert run.statuses == {200}


def test_the_cost_of_a_completion_is_the_sum_over_its_attempts(run: Run) -> None:
    query = """
        SELECT c.decision_id FROM completions c JOIN attempts a USING (at, decision_id)
        GROUP BY c.decision_id, c.cost_usd HAVING abs(c.cost_usd - sum(a.cost_usd)) > 1e-15
    """
    assert rows(run.url, query) == []
    (total,) = rows(run.url, "SELECT sum(cost_usd) AS usd FROM completions")
    assert total["usd"] > 0


def test_all_kinds_of_paths_were_taken(run: Run) -> None:
    paths = {
        tuple(row["actions"])
        for row in rows(
            run.url,
            "SELECT array_agg(action ORDER BY index) AS actions FROM steps GROUP BY decision_id",
        )
    }
    assert ("call:local", "judge", "reply") in paths
    assert ("call:local", "judge", "call:cloud", "reply") in paths
    failed = rows(run.url, "SELECT 1 FROM attempts WHERE error IS NOT NULL")
    assert failed


def test_every_logged_decision_replays_bit_for_bit(run: Run) -> None:
    decisions = [
        Decision.model_validate(row)
        for row in rows(
            run.url,
            "SELECT id, at, tenant, conversation, request_id, policy_version, feature_version,"
            " features, segment, eligible, excluded, sticky_tier, seed FROM decisions",
        )
    ]
    assert len(decisions) == QUERIES
    steps = [
        Step.model_validate(row)
        for row in rows(
            run.url,
            "SELECT decision_id, at, index, state, pmf, action, propensity, threshold, values"
            " FROM steps ORDER BY decision_id, index",
        )
    ]
    for decision in decisions:
        mine = [step for step in steps if step.decision_id == decision.id]
        assert mine
        assert replayed(DOCUMENT, decision, mine) == mine


def test_draws_fall_at_their_rates_and_their_texts_are_kept(run: Run) -> None:
    audits = rows(run.url, "SELECT at, decision_id FROM draws WHERE kind = 'audit'")
    assert 0.1 * QUERIES < len(audits) < 0.3 * QUERIES
    texts = rows(run.url, "SELECT DISTINCT decision_id FROM texts WHERE key = 'prompt'")
    assert {row["decision_id"] for row in texts} == {row["decision_id"] for row in audits}
    shadows = rows(run.url, "SELECT decision_id FROM draws WHERE kind = 'shadow'")
    assert {row["decision_id"] for row in shadows} <= {row["decision_id"] for row in audits}


class Command:
    """`python -m dataplane` as an operator gets it wrong."""

    def __init__(self, directory: Path, database: Database) -> None:
        self.plane = RealPlane(directory, database, "http://127.0.0.1:9/v1")
        self.plane.write()

    def edit(self, old: str, new: str) -> None:
        path = self.plane.configuration
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def refusal(self, *arguments: str, **environment: str) -> str:
        """Its only line, said with exit code 2."""
        done = subprocess.run(
            [*self.plane.command, *arguments],
            env=self.plane.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.strip().splitlines()
        return line


@pytest.fixture
def command(tmp_path: Path, database: Database) -> Command:
    return Command(tmp_path, database)


def test_a_port_in_use_is_one_line(command: Command) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", command.plane.port))
        other.listen()
        said = command.refusal()
    assert f"port {command.plane.port} on 127.0.0.1 is in use" in said


def test_a_missing_model_is_one_line(command: Command) -> None:
    command.edit(
        f'provider: {{base_url: "{command.plane.upstream}", model: small, api_key: ""}}',
        "engine: {model: nowhere.gguf, sha256: none}",
    )
    assert "nowhere.gguf" in command.refusal().splitlines()[-1]


def test_a_missing_start_policy_is_one_line(command: Command) -> None:
    assert "nowhere.json" in command.refusal("--start-policy=nowhere.json")


def test_a_start_policy_that_cannot_serve_is_one_line(command: Command) -> None:
    path = command.plane.start_policy
    path.write_text(path.read_text().replace('"lambda_":0.2', '"lambda_":-1'))
    assert "lambda_" in command.refusal()


def test_a_missing_database_is_one_line(command: Command) -> None:
    assert "DATABASE_URL_DATAPLANE" in command.refusal(DATABASE_URL_DATAPLANE="")


def test_a_second_plane_in_the_same_directory_is_one_line(command: Command) -> None:
    with provider() as upstream:
        issue_key(command.plane.database.url, "inference")
        with real_plane(command.plane.directory, command.plane.database, upstream) as plane:
            command.edit(f"127.0.0.1:{plane.port}", f"127.0.0.1:{free_port()}")
            assert "spool" in command.refusal()
