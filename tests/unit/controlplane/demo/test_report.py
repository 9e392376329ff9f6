import io
from typing import Any

import pytest
from rich.console import Console

from controlplane.demo.drift import DriftTold, Named
from controlplane.demo.options import Options
from controlplane.demo.report import Baseline, Report, close
from tests.reports import report

FIELDS = """queries, target_quality, tolerance, quality, quality_estimate, quality_interval,
quality_last_two_thirds, recovered_after_queries, labels, labels_left,
label_cost_usd, cost_usd, judge_cost_usd,
shadow_cost_usd, always_cloud_cost_usd, random_mix_cost_usd, oracle_cost_usd, always_local_quality,
always_cloud_quality, oracle_quality, local_share, policy_versions, decisions_in_postgres,
decisions_replayed, decisions_mismatched, seconds, drift"""
VERSION_FIELDS = "version, acked, decisions, routing_threshold, judge_cutoff"


def closing(told: Report, *gate: str) -> str:
    out = io.StringIO()
    baselines = (Baseline("always cloud, SIMULATED", 0.96, 0.3),)
    close(Console(file=out, width=100), told, baselines, Options(), gate)
    return out.getvalue()


def test_the_figures_are_those_that_were_promised_and_no_others() -> None:
    told = report().model_dump(mode="json")
    assert list(told) == [name.strip() for name in FIELDS.split(",")]
    assert list(told["policy_versions"][0]) == VERSION_FIELDS.split(", ")
    assert told["quality_interval"] == [0.89, 0.92]


@pytest.mark.parametrize(("quality", "missed"), [(0.881, False), (0.879, True), (0.96, False)])
def test_missed_is_falling_short_by_more_than_the_tolerance(quality: float, missed: bool) -> None:
    assert report(quality_last_two_thirds=quality).missed is missed


def test_the_closing_words() -> None:
    text = closing(report())
    assert "40.0%" in text
    assert "target 0.90 less 0.02: kept" in text
    assert "800 labels at 0.002 USD are 1.60 USD" in text
    assert "after 700 queries" in text
    assert "SIMULATED: the cloud tier and its list prices" in text
    assert "untrained" in text


@pytest.mark.parametrize(
    ("after", "said"), [(0, "never left its tolerance"), (None, "did not come back")]
)
def test_the_change_of_mix_in_words(after: int | None, said: str) -> None:
    assert said in closing(report(recovered_after_queries=after))


def test_what_became_of_the_judge() -> None:
    assert "the judge was on trial to the end: it decided nothing" in closing(report())
    told = closing(report(), "gate: judge logprob earned its say")
    assert "gate: judge logprob earned its say" in told
    assert "on trial to the end" not in told


def test_without_baselines_or_an_interval_it_still_closes() -> None:
    text = closing(report(quality_estimate=None, quality_interval=None, always_cloud_cost_usd=None))
    assert "the audit said" not in text


def drift(**fields: Any) -> DriftTold:
    """A local tier that got weaker, noticed and named; ``fields`` replace what is told."""
    usual: dict[str, Any] = {
        "kind": "local",
        "injected_at": 5000,
        "alarms_before": 0,
        "noticed_after": 210,
        "noticed_by": "alarm: labels are not as expected",
        "named": (Named(cause="local", after=990),),
        "named_rightly": True,
        "named_words": "the local tier got weaker",
        "quality_before": 0.944,
        "quality_lowest": 0.894,
        "quality_last": 0.936,
        "left_after": 300,
        "back_after": 900,
        "cost_before_usd": 12e-6,
        "cost_last_usd": 19e-6,
    }
    return DriftTold(**usual | fields)


def test_the_drift_in_words() -> None:
    text = closing(report(drift=drift()))
    for said in (
        "SIMULATED drift at query 5,000: the local tier loses a quarter of its right answers",
        "noticed: after 210 queries: alarm: labels are not as expected",
        "named: local, rightly, after 990 queries: the local tier got weaker",
        "recovered: the live policy's quality was back after 700 queries, on fixed queries; right",
        "of 500 answers: 0.944 before, 0.894 at the lowest, 0.936 at the end",
        "cost: 12.0 USD per million queries before, 19.0 at the end",
    ):
        assert said in text
    assert "after the change of mix" not in text


def test_a_drift_that_was_missed_is_told_as_honestly() -> None:
    missed = drift(
        noticed_after=None, noticed_by=None, named=(), named_rightly=False, named_words=None
    )
    text = closing(report(drift=missed))
    assert "noticed: not within this run" in text
    assert "named: not within this run" in text
    assert "false alarms" not in text
    assert "false alarms before it: 2" in closing(report(drift=drift(alarms_before=2)))
    more = drift(
        named=(Named(cause="judge", after=500), Named(cause="local", after=990)),
        named_rightly=False,
    )
    assert "named: judge, wrongly, after 500 queries; local, rightly, after 990" in closing(
        report(drift=more)
    )
