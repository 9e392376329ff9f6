"""Spend of two periods read from sums, where queries are many, is that of the records."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from controlplane import spent
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.evaluate.cost_drift import Calls, Period
from controlplane.rollups import forget
from controlplane.spending import Spending, compare
from tests.kept import remember
from tests.seeding import Past, added_up

HOUR = timedelta(hours=1)
STEP = timedelta(seconds=spent.STEP_S)
END = datetime.fromtimestamp(datetime.now(UTC).timestamp() // spent.STEP_S * spent.STEP_S, UTC)
SEGMENTS = "UPDATE decisions SET segment = CASE WHEN seed % 4 = 0 THEN 'code' ELSE segment END"
JUDGED = """
INSERT INTO attempts SELECT (jsonb_populate_record(a, '{"purpose": "judge", "cost_usd": 0.0003}')).*
FROM attempts a WHERE purpose = 'serve' AND tier = 'local'
"""
EVERY_RECORD = "TRUNCATE attempts, completions"
DAYS = [(1 / 24, 1 / 24), (1 / 24, 2 / 24), (1.0, 1.0), (0.03, 0.05), (0.004, 0.004), (7.0, 31.0)]


@pytest.fixture(scope="module")
def past(shared_database: Database) -> Database:
    return kept(shared_database)


def kept(database: Database) -> Database:
    """Queries of two hours and segments, all added up; some of their calls are verdicts."""
    remember(database, Past(until=END, queries=300), hours=1)
    with psycopg.connect(database.url) as owner:
        owner.execute(SEGMENTS)
        owner.execute(JUDGED)
    added_up(database)
    return database


def look(database: Database, few: int, days: float, before: float, now: datetime) -> Spending:
    """The comparison, where more than ``few`` queries are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spent, "FEW", few)
        with connect(database.url_for("penstock_controlplane")) as connection:
            return compare(connection, days, before, now)


def flat(found: Spending) -> dict[str, float]:
    """Every number of it by its place."""
    numbers = {
        f"{cell} {driver}": usd
        for cell, effects in found.drift.by_cell.items()
        for driver, usd in effects.items()
    }
    for name, period in (("before", found.before), ("after", found.after)):
        numbers |= {f"{name} {segment}": count for segment, count in period.queries.items()}
        for cell, calls in period.calls.items():
            numbers |= {f"{name} {cell} {part}": getattr(calls, part) for part in Calls.__slots__}
    return numbers


@pytest.mark.parametrize("late", [timedelta(0), timedelta(minutes=7, microseconds=1)], ids=str)
@pytest.mark.parametrize(("days", "before"), DAYS)
def test_both_ways_say_the_same_to_the_last_digits(
    past: Database, days: float, before: float, late: timedelta
) -> None:
    counted = look(past, 1_000_000, days, before, END - 3 * STEP + late)
    added = look(past, 0, days, before, END - 3 * STEP + late)
    assert counted.after.usd > 0
    assert flat(added) == pytest.approx(flat(counted), rel=1e-9, abs=1e-15)
    assert (added.first_at, added.sentence) == (counted.first_at, counted.sentence)


def test_all_effects_are_there_to_compare(past: Database) -> None:
    found = look(past, 0, 1 / 24, 1 / 24, END)
    assert {cell.segment for cell in found.drift.by_cell} == {"code", "default"}
    assert {cell.purpose for cell in found.drift.by_cell} == {"serve", "shadow", "judge"}
    assert all(found.drift.effects[name] for name in ("volume", "mix", "routing", "judging"))


def test_of_whole_ten_minutes_no_record_is_read(database: Database) -> None:
    kept(database)

    def read(until: datetime) -> Period:
        with connect(database.url_for("penstock_controlplane")) as connection:
            return spent.spent(connection, END - HOUR, until, summed=True)

    whole, ragged = read(END), read(END - STEP / 2)
    assert ragged.usd < whole.usd
    with psycopg.connect(database.url) as owner:
        owner.execute(EVERY_RECORD)
    assert read(END) == whole
    assert read(END - STEP / 2) == read(END - STEP)


def test_of_records_older_than_all_sums_the_records_are_read(database: Database) -> None:
    kept(database)
    counted = look(database, 1_000_000, 1 / 24, 1 / 24, END)
    with connect(database.url_for("penstock_controlplane")) as connection:
        assert forget(connection, END - 1.5 * HOUR) > 0
    added = look(database, 0, 1 / 24, 1 / 24, END)
    assert sum(added.before.queries.values()) > 0
    assert flat(added) == pytest.approx(flat(counted), rel=1e-9, abs=1e-15)


def test_what_has_arrived_and_is_not_added_is_told(database: Database) -> None:
    kept(database)
    with psycopg.connect(database.url) as owner:
        owner.execute(
            "INSERT INTO shipments VALUES ('seeded', 2, 0, 9, 10, now() - interval '1 hour')"
        )
    assert look(database, 1_000_000, 1, 1, END).unsummed == 0
    told = look(database, 0, 0.05, 0.05, END).to_json()
    assert told["unsummed"] == 10
    assert told["sentence"].endswith("10 records have arrived that are not counted yet.")
