import io

import pytest
from rich.console import Console

from controlplane.audit.trial import Trial
from controlplane.demo.drift import DriftTold
from controlplane.demo.monitor import Picture
from controlplane.demo.options import Options
from controlplane.demo.view import drift_rows, rows, sparkline, view, words
from tests.pictures import EVENT, gate, picture

OPTIONS = Options(queries=6000, target_quality=0.9)


DRIFTING = Options(queries=6000, target_quality=0.9, drift="local")
DRIFT = DriftTold(
    kind="local",
    injected_at=3010,
    alarms_before=0,
    noticed_after=210,
    noticed_by="alarm: because",
    named=(),
    named_rightly=False,
    named_words=None,
    quality_before=0.94,
    quality_lowest=0.87,
    quality_last=0.875,
    left_after=120,
    back_after=None,
    cost_before_usd=1e-5,
    cost_last_usd=2e-5,
)


def shown(*pictures: Picture, terminal: bool, options: Options = OPTIONS) -> str:
    out = io.StringIO()
    with view(Console(file=out, force_terminal=terminal, width=120), options) as live:
        for each in pictures or (picture(),):
            live.show(each)
    return out.getvalue()


def test_plain_lines_off_a_terminal() -> None:
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert "retune v4: cheaper, and good enough" in text
    assert "served 4,000 of 6,000 (harder mix since 3,000)" in text
    assert "quality 0.905 [0.880, 0.930] by 240 labels, target 0.90 - 0.02" in text


def test_a_table_on_a_terminal_says_what_is_simulated() -> None:
    text = shown(terminal=True)
    assert "SIMULATED: queries, labels, cloud; the local model is real" in text
    assert "served" in text
    assert "routing threshold" in text
    assert "judge cutoff" in text
    assert "v4 cascade" in text


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({}, "cost per query", "20.0 USD per million, 40% of a cloud call"),
        ({"cost_usd": ()}, "cost per query", "none yet"),
        ({}, "local share", "70%"),
        ({"local_share": ()}, "local share", "none yet"),
        ({"estimate": None}, "quality", "no interval yet, target 0.90 - 0.02"),
        ({}, "labels", "380 in, 30 awaited"),
        ({"served": 10}, "served", "10 of 6,000 (easy mix, harder from 3,000)"),
        ({}, "judge", "trusted, 30 pairs since"),
        (
            {"gate": gate(Trial(pairs=12))},
            "judge",
            "on trial, decides nothing yet: 12 pairs, e-value 1 of 20",
        ),
        ({"failed": 2}, "served", "4,000 of 6,000 (harder mix since 3,000), 2 failed"),
    ],
)
def test_what_is_measured_is_said_in_words(fields: dict[str, object], name: str, said: str) -> None:
    now = {row: text for row, text, _ in rows(picture(**fields), OPTIONS)}
    assert now[name] == said


def test_an_event_without_a_reason_shows_its_body() -> None:
    assert words(EVENT) == "retune v4: cheaper, and good enough"


def test_a_course_is_drawn_from_its_lowest_to_its_highest() -> None:
    assert sparkline([]) == ""
    assert sparkline([5.0]) == "▁"
    assert sparkline([0, 7, 3.5]) == "▁█▅"
    assert len(sparkline(range(500))) == 40


def test_each_step_of_a_drift_is_a_line_once() -> None:
    begun = DRIFT.model_copy(update={"noticed_after": None})
    text = shown(
        *(picture(drift=told) for told in (begun, DRIFT, DRIFT)), terminal=False, options=DRIFTING
    )
    assert text.count(">> SIMULATED drift at query 3,010: the local tier loses a quarter") == 1
    assert text.count(">> noticed after 210 queries") == 1
    assert text.count(">> the last 500 answers fell below 0.88 after 120 queries") == 1
    assert "served 4,000 of 6,000 (SIMULATED drift since 3,010: local)" in text


def test_a_drift_has_rows_on_a_terminal() -> None:
    text = shown(picture(drift=DRIFT), terminal=True, options=DRIFTING)
    assert "SIMULATED: queries, labels, cloud, drift of a real local model" in text
    assert "after 210 queries" in text
    assert "0.875 right; 0.940 before, 0.870 at the lowest" in text
    assert dict(drift_rows(picture(drift=DRIFT)))["named"] == "not yet"
    assert drift_rows(picture()) == []


def test_before_the_drift_its_place_is_told() -> None:
    now = {row: text for row, text, _ in rows(picture(served=10), DRIFTING)}
    assert now["served"] == "10 of 6,000 (SIMULATED drift to come at 3,000: local)"
