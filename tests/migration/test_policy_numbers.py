"""What pages show of policies is kept of those published before, and of what is none at all."""

import psycopg
import pytest

from controlplane.database import Database, upgrade
from dataplane.contract.policy import PolicyDocument
from tests.migration.test_votes import upgrade_to
from tests.policies import CLOUD, LOCAL, policy

FREE = LOCAL.replaced(billing="none")
PUBLISH = """
INSERT INTO policies (version, parent, kind, author, reason, digest, document)
VALUES (%s, NULL, 'retune', 'operator', 'r', 'd', %s)
"""
POISON = ("nothing", "[]", "{}", '{"tiers": 7, "segments": NaN}', '{"tiers": [{}], "segments": {}}')


def publish(owner: psycopg.Connection, version: int, document: PolicyDocument) -> None:
    owner.execute(PUBLISH, (version, document.to_json().decode()))


def test_numbers_are_those_of_the_documents(empty_database: Database) -> None:
    documents = {
        1: policy("cascade", tiers=(FREE, CLOUD)),
        2: policy("route", version=2, tiers=(LOCAL, CLOUD)),
    }
    upgrade_to(empty_database, "0010")
    with psycopg.connect(empty_database.url) as owner:
        publish(owner, 1, documents[1])
        for version, poison in enumerate(POISON, start=11):
            owner.execute(PUBLISH, (version, poison))
    upgrade(empty_database.url)
    with psycopg.connect(empty_database.url) as owner:
        publish(owner, 2, documents[2])
        for version, poison in enumerate(POISON, start=21):
            owner.execute(PUBLISH, (version, poison))
        terms = owner.execute("SELECT * FROM policy_terms ORDER BY version").fetchall()
        segments = owner.execute(
            "SELECT version, segment, mode, routing_threshold, judge_cutoff, target_quality"
            " FROM policy_segments ORDER BY version"
        ).fetchall()
        prices = owner.execute("SELECT * FROM policy_prices ORDER BY version, tier").fetchall()
    assert [row[0] for row in terms] == [1, 2]
    for version, local, cloud, call_usd, char_usd, _ in terms:
        dear = documents[version].tiers[-1]
        assert (local, cloud) == ("local", "cloud")
        assert call_usd + 30 * char_usd == pytest.approx(float(dear.expected_cost_usd(30)))
    assert segments == [
        (version, each.name, each.mode, each.routing_threshold, each.judge_cutoff, 0.9)
        for version, document in documents.items()
        for each in document.segments
    ]
    assert [row[:2] for row in prices] == [(v, t) for v in (1, 2) for t in ("cloud", "local")]
    for version, name, prompt_usd, completion_usd in prices:
        (tier,) = (each for each in documents[version].tiers if each.name == name)
        charged = 30 * prompt_usd + 2 * completion_usd
        assert charged == pytest.approx(float(tier.cost_usd(30, 2)))
