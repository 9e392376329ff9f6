import pandas as pd

from dashboard.charts.style import interrupted


def course(plane: str, *seconds: int) -> pd.DataFrame:
    at = pd.to_datetime(list(seconds), unit="s", utc=True)
    return pd.DataFrame({"at": at, "plane": plane, "records": range(len(seconds))})


def test_a_silence_breaks_the_line_of_the_plane_that_kept_it() -> None:
    both = pd.concat([course("a", 0, 10, 20, 200, 210), course("b", *range(0, 220, 10))])
    found = interrupted(both, "plane", "records")
    empty = found[found["records"].isna()]
    assert empty["plane"].tolist() == ["a"]
    assert empty["at"].tolist() == [pd.Timestamp(30, unit="s", tz="UTC")]
    assert len(found) == len(both) + 1
    assert found["at"].is_monotonic_increasing


def test_what_comes_steadily_stays_as_it_is() -> None:
    steady = course("a", 0, 10, 30, 40)
    assert interrupted(steady, "plane", "records") is steady
    assert len(interrupted(course("a", 5), "plane", "records")) == 1
    assert interrupted(course("a"), "plane", "records").empty
