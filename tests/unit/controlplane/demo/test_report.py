import io

import pytest
from rich.console import Console

from controlplane.demo.options import Options
from controlplane.demo.report import Baseline, Report, close
from tests.reports import report

FIELDS = """queries, target_quality, tolerance, quality, quality_estimate, quality_interval,
quality_last_two_thirds, recovered_after_queries, labels, label_cost_usd, cost_usd, judge_cost_usd,
shadow_cost_usd, always_cloud_cost_usd, random_mix_cost_usd, oracle_cost_usd, always_local_quality,
always_cloud_quality, oracle_quality, local_share, policy_versions, decisions_in_postgres,
decisions_replayed, decisions_mismatched, seconds"""
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
