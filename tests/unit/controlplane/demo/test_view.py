import io

import pytest
from rich.console import Console

from controlplane.audit.trial import Trial
from controlplane.demo.options import Options
from controlplane.demo.view import rows, sparkline, view, words
from tests.pictures import EVENT, gate, picture

OPTIONS = Options(queries=6000, target_quality=0.9)


def shown(*, terminal: bool) -> str:
    out = io.StringIO()
    with view(Console(file=out, force_terminal=terminal, width=120), OPTIONS) as live:
        live.show(picture())
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
