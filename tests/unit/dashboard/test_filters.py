from datetime import UTC, datetime, timedelta

from dashboard.filters import Filters


def test_what_is_not_chosen_is_everything() -> None:
    filters = Filters("hour", segment="code")
    assert filters.narrowed == {"tenant": None, "segment": "code", "version": None, "tier": None}
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert filters.since(noon) == noon - timedelta(hours=1)
