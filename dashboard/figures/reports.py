"""Reports of data planes over time: of a short past one by one, else added up by ten minutes."""

from datetime import datetime, timedelta
from typing import Any

from dashboard.figures.traffic import STEP, step_of
from dashboard.period import POINTS, reported
from dashboard.store import Store


def reports(
    store: Store, name: str, now: datetime, period: timedelta, **parameters: Any
) -> list[dict[str, Any]]:
    """What the statement, or its twin named ``summed_..``, says of each bucket since calls began.

    No report is read one by one beyond ``POINTS`` buckets of less than ten minutes each.
    """
    extent = store.row("extent", since=now - period)
    bucket = reported(extent, now, period)
    since = now - min(period, POINTS * bucket)
    if bucket < STEP:
        return store.rows(name, since=since, width=bucket, **parameters)
    return store.rows(f"summed_{name}", since=step_of(since), width=bucket, **parameters)
