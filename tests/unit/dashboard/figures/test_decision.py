"""One decision in words and frames, from what the control plane tells."""

from typing import Any

import pytest

from dashboard.figures.decision import (
    bins,
    calls,
    others,
    served_score,
    simulated,
    timeline,
    values,
)

AT = "2026-01-01T12:00:00.000+00:00"
JUDGE = {
    "judge": "logprob", "lowest": -20.0, "highest": 0.01, "edges": [-1.0, -0.5],
    "raw": [-2.0, -0.7, -0.1], "f1": [0.1, 0.2, 0.7], "f0": [0.7, 0.2, 0.1], "cost_usd": 0.0,
}  # fmt: skip


def attempt(index: int, tier: str, purpose: str = "serve", **more: Any) -> dict[str, Any]:
    usual = {
        "model": "m", "prompt_tokens": 10, "completion_tokens": 2, "tokens_exact": True,
        "cost_usd": 0.001, "latency_ms": 20.0, "ttft_ms": None, "tokens_per_s": None,
        "finish": "stop", "error": None,
    }  # fmt: skip
    return {"index": index, "tier": tier, "purpose": purpose} | usual | more


def step(action: str, worth: dict[str, Any], score: float | None = None) -> dict[str, Any]:
    return {
        "action": action, "values": worth, "propensity": 1.0, "threshold": -0.6,
        "state": {"answered": [], "score": score, "judged": score is not None},
    }  # fmt: skip


def told(**more: Any) -> dict[str, Any]:
    """A local answer that scored low and escalated, first by a cloud call that failed."""
    records = {
        "decision": {
            "id": "d", "request_id": "r", "tenant": "acme", "segment": "default",
            "conversation": None, "features": {"chars": 12, "buckets": [1, 2]},
            "excluded": {"backup": "its breaker is open"},
        },
        "steps": [
            step("call:local", {"call:local": 0.5, "call:cloud": 0.4}),
            step("judge", {"judge": 0.0}),
            step("call:cloud", {"reply": 0.3, "call:cloud": 0.6}, score=-0.9),
        ],
        "attempts": [
            attempt(0, "local"),
            attempt(1, "cloud", error="timed out after 1 s", finish="error", latency_ms=1000.0),
            attempt(2, "cloud", latency_ms=240.0),
            attempt(0, "backup", "shadow"),
        ],
        "judge_scores": [
            {"purpose": "serve", "judge": "logprob", "raw": -0.9, "calibrated": 0.31},
        ],
        "completion": {
            "status": "ok", "final_tier": "cloud", "escalated": True, "cost_usd": 0.003,
            "latency_ms": 1262.0, "overhead_ms": 2.0, "error": None,
        },
        "draws": [{"kind": "shadow", "tier": "backup", "probability": 0.1, "rival": 9}],
        "outcomes": [
            {
                "key": "cloud", "value": 1.0, "labeller": "anna", "source": "ground_truth",
                "observed_at": AT,
            }
        ],
        "labels": [{"key": "cloud", "value": 1.0, "basis": "single", "settled_at": AT}],
    }  # fmt: skip
    beliefs = {
        "p_hat": {"local": 0.5, "cloud": 0.5}, "right": {"local": 0.55, "cloud": 0.9},
        "expected_usd": {"local": 1e-6, "cloud": 1e-3}, "cutoff": -0.6,
    }  # fmt: skip
    return {"records": records | more, "beliefs": beliefs, "alternatives": []}


def test_it_is_told_in_the_order_in_which_it_happened() -> None:
    moments = timeline(told())
    assert [(each.when, each.what) for each in moments] == [
        ("0 ms", "arrived"), ("0 ms", "excluded"), ("0 ms", "believed"),
        ("+0 ms", "decided"), ("+20 ms", "local answered"),
        ("+20 ms", "decided"), ("+20 ms", "judged"),
        ("+20 ms", "decided"), ("+1.02 s", "cloud failed"), ("+1.26 s", "cloud answered"),
        ("+1.26 s", "served"), ("at the end", "drawn"), ("unseen", "shadow: backup answered"),
        ("2026-01-01 12:00:00 UTC", "told"), ("2026-01-01 12:00:00 UTC", "label settled"),
    ]  # fmt: skip
    words = {each.what: each.words for each in moments}
    assert words["judged"] == "logprob gave -0.9000: 31.0 % right, below the cutoff -0.6000"
    assert words["decided"] == (
        "call cloud; worth: call cloud 0.6000, reply 0.3000; cutoff -0.6000; propensity 1"
    )
    assert words["cloud failed"].endswith("error: timed out after 1 s")
    assert words["drawn"] == "for a shadow of backup, a chance of 10.0 %, for the sake of v9"


@pytest.mark.parametrize(
    ("completion", "what", "words"),
    [
        (None, "unknown end", "it counts as no reward"),
        ({"status": "error", "error": "no tier is eligible"}, "failed", "no tier is eligible;"),
        ({"status": "aborted", "error": None}, "client went away", "no reason was recorded"),
    ],
)
def test_an_end_that_is_none(completion: dict[str, Any] | None, what: str, words: str) -> None:
    usual = {"cost_usd": 0.0, "latency_ms": 1.0, "overhead_ms": 1.0, "final_tier": None}
    found = timeline(told(completion=completion and usual | completion, draws=[], outcomes=[]))
    (end,) = [each for each in found if each.what == what]
    assert words in end.words


def test_without_steps_its_calls_are_told_all_the_same() -> None:
    whats = [each.what for each in timeline(told(steps=[]))]
    assert [what for what in whats if "answered" in what or "failed" in what] == [
        "local answered", "cloud failed", "cloud answered", "shadow: backup answered",
    ]  # fmt: skip


def test_values_are_those_of_steps_that_compared() -> None:
    frame = values(told())
    assert frame["step"].tolist() == ["1. call local"] * 2 + ["3. call cloud"] * 2
    assert frame.loc[frame["chosen"] == "chosen", "action"].tolist() == ["call local", "call cloud"]


def test_calls_of_the_same_tier_are_told_apart() -> None:
    assert calls(told())["call"].tolist() == [
        "serve: local", "serve: cloud 1", "serve: cloud 2", "shadow: backup",
    ]  # fmt: skip
    assert calls(told(attempts=[])).empty


def test_what_hinges_on_an_unseen_score_is_not_claimed() -> None:
    course = {"version": 3, "judged": True, "right": 0.8, "usd": 1e-4, "same": False}
    known = [
        course | {"name": "the live one now", "tier": None},
        course | {"name": "always-cloud", "tier": "cloud", "same": True},
    ]
    frame = others({"alternatives": known})
    assert frame["policy"].tolist() == ["the live one now, v3", "always-cloud"]
    assert frame["would serve"].tolist()[0].startswith("not known")
    assert frame["the same answer"].tolist() == ["", "yes"]


def test_the_outermost_bins_end_near_the_scores() -> None:
    frame = bins(JUDGE, (-0.9, None))
    right = frame[frame["answer"] == "right"]
    assert right["share"].tolist() == JUDGE["f1"]
    assert right["lo"].tolist() == pytest.approx([-2.19, -1.0, -0.5])
    assert right["hi"].tolist() == pytest.approx([-1.0, -0.5, 0.01])
    assert bins(JUDGE, (-5.0,))["lo"].min() == pytest.approx(-5.19)


def test_the_score_is_that_of_serving_where_there_is_one() -> None:
    shadow = {"purpose": "shadow", "raw": -3.0}
    assert served_score(told()) == -0.9
    assert served_score(told(judge_scores=[shadow])) == -3.0
    assert served_score(told(judge_scores=[])) is None


def test_what_says_simulated_is_named_once() -> None:
    assert simulated(told()) == []
    shams = [attempt(0, "cloud", model="SIMULATED-cloud"), attempt(1, "local", model="tiny")]
    verifier = {"labeller": "SIMULATED-verifier"}
    assert simulated(told(attempts=[*shams, *shams], outcomes=[verifier])) == [
        "labeller SIMULATED-verifier", "model SIMULATED-cloud",
    ]  # fmt: skip
