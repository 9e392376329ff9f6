"""Policies in words and frames."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboard.figures import policies as figures
from dashboard.figures.fleet import Plane

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def part(seq: int, version: int, share: float = 1.0, draw: float = 0.0) -> dict[str, Any]:
    return {
        "seq": seq, "published_at": NOON + timedelta(hours=seq), "version": version,
        "share": share, "draw": draw, "parent": version - 1, "kind": "retune",
        "author": "learner", "reason": f"because {seq}", "policy_reason": "cheaper",
        "place": 1,
    }  # fmt: skip


def test_a_publication_is_told_by_its_widest_version_and_what_is_beside() -> None:
    rows = [part(2, 5, 0.95), part(2, 6, 0.05), part(2, 7, 0.0, 0.3), part(1, 5)]
    newest, first = figures.publications(rows)
    assert (newest.version, newest.share) == (5, 0.95)
    assert newest.beside == (
        "v6 for 5 % of conversations, v7 compared on 30 % of what it may serve otherwise"
    )
    assert (first.version, first.beside) == (5, "")


def test_the_course_begins_with_what_was_in_force() -> None:
    published = figures.publications([part(3, 8), part(2, 7), part(1, 6)])
    since = NOON + timedelta(hours=2, minutes=30)
    within = figures.within(published, since)
    assert [each.seq for each in within] == [3, 2]
    course = figures.course(within, since, NOON + timedelta(hours=9))
    assert course["version"].tolist() == [7, 8]
    assert course["at"].tolist() == [since, NOON + timedelta(hours=3)]
    assert course["until"].tolist() == [NOON + timedelta(hours=3), NOON + timedelta(hours=9)]


def test_data_planes_are_told_by_what_they_serve_and_refused() -> None:
    usual = Plane("a", serves=[7], refused=[], reason=None, behind=0, at=NOON, standing="current")
    frame = figures.answers(
        [
            usual,
            replace(usual, plane="b", serves=[5, 6], behind=2, standing="behind"),
            replace(usual, serves=[6], refused=[7], reason="no such tier", standing="refused"),
            replace(usual, serves=[], refused=[0], reason="shares", standing="refused"),
        ]
    )
    assert frame["standing"].tolist() == ["current", "behind", "refused", "refused"]
    assert frame["serves"].tolist() == ["v7", "v5, v6", "v6", "what it began with"]
    assert frame["refused"].tolist() == ["", "", "v7", "the publication"]
    assert frame["reason"].tolist() == ["", "", "no such tier", "shares"]


DIFFERENCES = [
    "segment code: lambda 0.2 -> 0.25",
    "segment code: judge cutoff -0.62 -> -0.58",
    "segment chat: routing threshold 0.4 -> 0.5",
    "audits: 5.0% -> 10.0%",
]


def test_what_is_expected_stands_with_the_segments_cutoff() -> None:
    expected = {
        "segment": "code", "queries": 500, "usd_before": 1.0, "usd_after": 0.96,
        "quality_before": 0.91, "quality_after": 0.909,
    }  # fmt: skip
    lines = figures.change({"differences": DIFFERENCES, "prospects": [expected]})
    assert lines == [
        DIFFERENCES[0],
        f"{DIFFERENCES[1]}: expected -4.0 % cost, -0.1 points of quality, on the last 500 queries",
        *DIFFERENCES[2:],
    ]
    free = expected | {"segment": "chat", "usd_before": 0.0}
    (_, _, chat, _) = figures.change({"differences": DIFFERENCES, "prospects": [free]})
    assert chat.endswith("expected -0.1 points of quality, on the last 500 queries")
    assert figures.change({"differences": [], "prospects": [expected]}) == []


def look(stage: str, pairs: int, log_for: float) -> dict[str, Any]:
    return {
        "at": NOON.isoformat(), "stage": stage, "pairs": pairs, "log_for": log_for,
        "log_against": -log_for,
    }  # fmt: skip


def test_evidence_is_that_of_this_stage_from_one_on() -> None:
    looks = [look("shadow", 9, 3.0), look("live", 1, 0.5), look("live", 2, 700.0)]
    frame = figures.evidence({"stage": "live", "looks": looks})
    for_it = frame[frame["evidence"] == figures.SIDES["log_for"]]
    assert for_it["pairs"].tolist() == [0, 1, 2]
    assert for_it["e_value"].tolist() == pytest.approx([1.0, math.exp(0.5), math.exp(50.0)])
    assert (frame["e_value"] > 0).all()
    assert figures.evidence({"stage": "canary", "looks": looks}).empty


def test_a_canary_is_told_beside_the_live_policy() -> None:
    one = {
        "queries": 100, "failed": 0.02, "failed_error": 0.014, "latency_ms": 200.0,
        "log_latency_error": 0.1, "usd": 1e-4, "usd_error": 1e-5,
    }  # fmt: skip
    none = dict.fromkeys(one, None) | {"queries": 0}
    frame = figures.health({"canary": none, "live": one}).set_index("measure")
    assert frame.loc["failed", "live"] == "2 % (0 % to 5 %)"
    assert frame.loc["latency (geometric mean)", "live"] == "200 ms (164 ms to 243 ms)"
    assert frame["canary"].tolist() == ["0", "none yet", "none yet", "none yet"]


@pytest.mark.parametrize(
    ("stage", "to"),
    [
        ("candidate", ["live", "refused"]), ("canary", ["live", "refused"]),
        ("live", ["rolled_back"]), ("settled", ["rolled_back"]), ("refused", []), ("retired", []),
    ],
)  # fmt: skip
def test_an_operator_is_offered_what_the_stage_allows(stage: str, to: list[str]) -> None:
    assert [each for each, _ in figures.moves(stage)] == to
