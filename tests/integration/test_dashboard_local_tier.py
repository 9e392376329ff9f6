"""The local tier's page on a real store, as penstock_dashboard sees it."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from controlplane.database import Database
from dashboard.figures import traffic
from dashboard.figures.local_tier import LocalTier, read
from dashboard.store import snapshot
from tests.pages import charts, metrics, page, said
from tests.seeding import Past, added_up, seed, told

DAY = timedelta(days=1)
PACED = """
UPDATE attempts SET ttft_ms = 5 + "offset" % 40, tokens_per_s = 50 + "offset" % 60,
    error = CASE WHEN "offset" % 97 = 0 THEN 'timeout' END
WHERE tier = 'local'
"""
AWAY = "UPDATE plane_reports SET body = jsonb_set(body, '{tiers,local,unavailable}', '\"down\"')"
ON_A_GPU = """
UPDATE plane_reports SET body = jsonb_set(body, '{tiers,local}', body #> '{tiers,local}' ||
    jsonb_build_object(
        'gpu_memory_used_bytes', %(used)s::bigint, 'gpu_memory_bytes', %(whole)s::bigint))
WHERE plane = %(plane)s
"""


@pytest.fixture(scope="module")
def seeded(shared_database: Database) -> Database:
    """400 queries with the times of their first tokens, added up, and an engine that queues."""
    now = datetime.now(UTC)
    seed(shared_database.url, Past(until=now))
    with psycopg.connect(shared_database.url) as owner:
        owner.execute(PACED)
    told(shared_database.url, now)
    added_up(shared_database)
    return shared_database


def look(database: Database, few: int = 1_000_000) -> LocalTier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "FEW", few)
        with snapshot(database.url_for("penstock_dashboard")) as store:
            found = read(store, DAY)
    assert found is not None
    return found


@pytest.mark.parametrize("few", [0, 1_000_000])
def test_figures_are_those_of_sql_by_hand(seeded: Database, few: int) -> None:
    with psycopg.connect(seeded.url) as owner:
        by_hand = owner.execute(
            "SELECT count(*), count(error), sum(completion_tokens),"
            " percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ttft_ms)"
            "     FILTER (WHERE error IS NULL),"
            " percentile_cont(ARRAY[0.5, 0.05]) WITHIN GROUP (ORDER BY tokens_per_s)"
            "     FILTER (WHERE error IS NULL)"
            " FROM attempts WHERE tier = 'local'"
        ).fetchone()
    assert by_hand is not None
    calls, failed, tokens, ttft, speed = by_hand
    box = look(seeded, few)
    assert box.summed == (few == 0)
    assert (box.tier, box.asked, box.failed) == ("local", calls, failed)
    assert box.calls["completion_tokens"].sum() == tokens
    exact = 1e-9 if few else 0.1
    pace = [box.pace[name] for name in ("ttft_ms", "ttft_p95_ms")]
    assert pace == pytest.approx(ttft, rel=exact)
    assert [box.pace["tokens_per_s"], box.pace["tokens_per_s_p5"]] == pytest.approx(
        speed, rel=exact
    )
    assert len(box.pace_course) >= 1


def test_the_engines_last_word_is_shown(seeded: Database) -> None:
    box = look(seeded)
    assert [(row["plane"], row["slots"], row["queue_depth"]) for row in box.engines] == [
        ("plane-a", 8, 4), ("plane-b", 8, 4),
    ]  # fmt: skip
    assert (box.waiting, box.verdict) == (8, "queues")
    assert box.engine_course["memory_bytes"].max() == 329 << 20


def test_the_page_shows_the_figures_and_no_money(
    seeded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = page(monkeypatch, "local_tier", seeded)
    assert not test.exception
    shown = metrics(test)
    assert shown["Tier"] == ("local", "queries wait for a slot")
    assert shown["Queue"][0] == "8 waiting"
    assert shown["Memory"] == ("658 MiB", "RAM of 2 engines")
    assert charts(test) == 5
    assert "USD" not in said(test)


def test_of_engines_on_gpus_the_fullest_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    seed(database.url, Past(until=now, queries=20))
    told(database.url, now, reports=1)
    with psycopg.connect(database.url) as owner:
        for plane, used in (("plane-a", 30), ("plane-b", 60)):
            owner.execute(ON_A_GPU, {"plane": plane, "used": used << 30, "whole": 80 << 30})
    shown = metrics(page(monkeypatch, "local_tier", database))
    assert shown["Memory"][1] == "RAM of 2 engines; fullest GPU 60.0 of 80.0 GiB"


def test_many_failures_and_an_engine_away_are_said(database: Database) -> None:
    now = datetime.now(UTC)
    seed(database.url, Past(until=now, queries=60))
    assert look(database).verdict == "keeps up"
    with psycopg.connect(database.url) as owner:
        owner.execute("UPDATE attempts SET error = 'timeout' WHERE tier = 'local'")
        assert look(database).verdict == "keeps up"
        owner.commit()
    assert look(database).verdict == "fails"
    told(database.url, now, reports=1)
    with psycopg.connect(database.url) as owner:
        owner.execute(AWAY)
    assert look(database).verdict == "away"


def test_without_calls_and_engines_it_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(database.url, Past(until=datetime.now(UTC) - timedelta(days=3), queries=10))
    test = page(monkeypatch, "local_tier", database)
    assert not test.exception
    words = [each.value for each in test.info]
    assert "was not called in the last day" in words[0]
    assert "No data plane told of an engine of its own" in words[1]
