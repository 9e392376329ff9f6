from itertools import pairwise

import pytest

from dashboard.store import SQL, StoreUnavailable, parse, snapshot


def test_every_query_reads_views_alone() -> None:
    for name, query in SQL.items():
        words = query.decode().replace("(", " ( ").split()
        sources = [after for word, after in pairwise(words) if word == "FROM"]
        assert all(source.startswith(("v_", "(")) for source in sources), name


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "DATABASE_URL_DASHBOARD is unset"),
        ("mysql://x", "is not a Postgres URL"),
        ("postgresql://penstock_dashboard:canary@127.0.0.1:1/x", "cannot read Postgres at 127.0.0"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(url: str, says: str) -> None:
    with pytest.raises(StoreUnavailable, match=says) as told, snapshot(url):
        raise AssertionError("never")
    assert "\n" not in str(told.value)
    assert "canary" not in str(told.value)


def test_two_statements_of_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match="two statements are named x"):
        parse(["-- name: x\nSELECT 1", "-- name: x\nSELECT 2"])
