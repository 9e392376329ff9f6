"""Job names, cadences, and when a run is due."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.schedule import due, jobs


def test_jobs_are_named_once_and_the_cycle_follows_the_configuration() -> None:
    planned = jobs(2.0, alerts=True)
    names = [job.name for job in planned]
    assert len(set(names)) == len(names)
    assert next(job.every_s for job in planned if job.name == "cycle") == 2.0


def test_nobody_is_told_where_no_webhook_is_named() -> None:
    told = {job.name for job in jobs(2.0, alerts=True)} - {job.name for job in jobs(2.0)}
    assert told == {"alerts"}


@pytest.mark.parametrize("every_s", [1.0, 2.0, 30.0, 3600.0])
def test_one_slot_has_one_due_time(every_s: float) -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for part in (0.0, 0.3, 0.999):
        assert due(start + timedelta(seconds=part * every_s), every_s) == start
    assert due(start + timedelta(seconds=every_s), every_s) == start + timedelta(seconds=every_s)
