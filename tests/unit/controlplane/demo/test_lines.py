import json

from controlplane.demo.lines import Lines, quality

LINE = {
    "at": 1.5,
    "decision_id": "d",
    "policy_version": 2,
    "tier": "local",
    "cost_usd": 1e-6,
    "latency_ms": 3.0,
    "error": None,
}


def test_lines_are_all_there_by_place_when_the_output_ends() -> None:
    source = [
        json.dumps({**LINE, "place": place, "right": place % 2}).encode() for place in (2, 0, 1)
    ]
    lines = Lines(source).all()
    assert [line.place for line in lines] == [0, 1, 2]
    assert quality(lines) == 1 / 3


def test_nothing_served_has_no_quality() -> None:
    assert quality([]) == 0.0


def test_the_next_place_comes_after_all_that_have_ended() -> None:
    source = [json.dumps({**LINE, "place": place, "right": 1}).encode() for place in (4, 2)]
    lines = Lines(source)
    lines.all()
    assert (lines.count, lines.next_place) == (2, 5)
    none = Lines([])
    none.all()
    assert (none.count, none.next_place) == (0, 0)
