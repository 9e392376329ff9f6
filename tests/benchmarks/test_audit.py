"""The audit's benchmark: its figures are what they say, on few trials and hand-made recordings."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from controlplane.audit.served import ENOUGH_FOR_CONTROL, Served, estimate
from controlplane.stats import Survey, clopper_pearson
from tests.benchmarks import audit, llmbar
from tests.benchmarks.audit_recorded import Contest, Judged, at_mean_prices, contests, opens
from tests.benchmarks.audit_recorded import trials as recorded_trials
from tests.benchmarks.cells import Cell, Cells, extreme, resampled, worth
from tests.benchmarks.served import served_quality
from tests.benchmarks.test_judged import made

recorded = pytest.mark.skipif(
    "PENSTOCK_DATA" not in os.environ, reason="PENSTOCK_DATA names no folder of recordings"
)
ASKED_FOR = {
    "coverage_min",
    "asymptotic_coverage_max",
    "sequence_miss_max",
    "coverage_delayed_min",
    "labels_worth_useless",
    "labels_worth_auroc80",
    "labels_worth_self_calibrated",
    "rcps_violation_max",
    "rcps_accept_300",
    "gate_closed_useless",
    "gate_open_good",
    "gate_close_pairs_median",
    "gate_false_close_per1000",
    "llmbar_coverage",
}


def cell(held: int, of: int, amount: float = 1.0) -> Cell:
    return Cell([True] * held + [False] * (of - held), [amount] * of)


def test_an_extreme_has_the_interval_of_all_its_cells_at_once() -> None:
    cells = [cell(95, 100), cell(90, 100), cell(99, 100)]
    least, most = extreme(cells, "higher"), extreme(cells, "lower", missed=True)
    exact = clopper_pearson(90, 100, 1 - 0.05 / 3)
    assert (least.value, least.lower, least.upper) == (0.9, exact.low, exact.high)
    assert most.n == 100
    assert most.value == pytest.approx(0.1)
    assert most.upper == pytest.approx(1 - least.lower)


def test_half_the_width_is_worth_four_labels() -> None:
    found = resampled([cell(9, 9, 0.2), cell(9, 9, 0.1)], worth, "ratio", "higher")
    assert (found.value, found.lower, found.upper) == pytest.approx((4, 4, 4))


def test_few_trials_give_every_figure_of_the_simulations() -> None:
    effort = audit.Effort(coverage=25, certificates=25, judges=2, kept=2)
    drawn = audit.simulations([3], effort)
    named = audit.of_simulations(drawn)
    assert ASKED_FOR - set(named) == {"llmbar_coverage"}
    for figure in named.values():
        assert figure.lower <= figure.value <= figure.upper
    assert 0.6 < named["coverage_min"].value < 1
    assert named["sequence_miss_max"].value < 0.3
    assert named["delayed_width"].value > named["delayed_ignored_width"].value
    assert named["labels_worth_auroc80"].value > 1.15
    assert 0.95 < named["labels_worth_useless"].value < 1.05


def test_the_served_quality_is_the_audits_own() -> None:
    rng = np.random.default_rng(2)
    for queries in (400, 4000):
        predicted = rng.uniform(0.5, 1, queries)
        value = (rng.uniform(size=queries) < predicted).astype(float)
        drawn = rng.uniform(size=queries) < 0.2
        assert (drawn.sum() >= ENOUGH_FOR_CONTROL) == (queries == 4000)
        chance = np.full(int(drawn.sum()), 0.2)
        survey = Survey(value[drawn], predicted[drawn], chance, float(predicted.mean()), queries)
        served = [
            Served(UUID(int=at), 0.2 if drawn[at] else None, value[at], predicted[at])
            for at in range(queries)
        ]
        quality = estimate("run", served, 0.95).quality
        found = served_quality(survey)
        assert quality is not None
        assert (found.low, found.high) == pytest.approx((quality.low, quality.high))


def comparisons(folder: Path, winners: list[tuple[str, str]]) -> Path:
    """One model's verdicts in either order; answer 1 is always the better."""
    columns: dict[str, list[object]] = {
        "judge_model": ["peer"] * len(winners),
        "strategy": [llmbar.PROMPT] * len(winners),
    }
    for place in range(2):
        said = [pair[place] for pair in winners]
        columns[f"winner_order{place + 1}"] = list(said)
        columns[f"correct_order{place + 1}"] = [float(each == "1") for each in said]
    parquet.write_table(pa.table(columns), folder / f"{llmbar.FILE}.parquet")
    return folder


def test_a_judge_that_prefers_what_it_sees_first_is_found_out(tmp_path: Path) -> None:
    winners = [("1", "2")] * 30 + [("1", "1")] * 50 + [("2", "1")] * 5 + [("None", "1")] * 5
    (judge,) = llmbar.judges(comparisons(tmp_path, winners))
    assert judge.accuracy == pytest.approx((80 + 60) / 180)
    seen = judge.position()
    assert (seen.moved, seen.first.estimate, seen.readable) == (35, 30 / 35, 85)
    assert seen.found
    assert "| peer | 90 | 0.778 (" in llmbar.table([judge])
    assert llmbar.table([judge]).endswith("| first |")


def test_a_judge_that_errs_alike_in_both_orders_is_not(tmp_path: Path) -> None:
    winners = [("1", "2")] * 20 + [("2", "1")] * 20 + [("2", "2")] * 50
    (judge,) = llmbar.judges(comparisons(tmp_path, winners))
    assert not judge.position().found
    found = Cells()
    found.run(llmbar.trials([judge]), 40, 1)
    assert len(found.within("llmbar")) == 6
    assert np.mean([each.share for each in found.within("llmbar").values()]) > 0.85
    assert found.within("bias_not_shown")["bias_not_shown/peer"].share < 0.2


def test_a_judge_of_recorded_answers_is_covered() -> None:
    pairs, _ = made()
    assert pairs.judge is not None
    local, cloud = np.array([row.worth for row in pairs.rows]).T == 1
    found = Cells()
    found.run(recorded_trials([Judged("peer", pairs.judge.raw, local, cloud)]), 40, 1)
    shares = [each.share for each in found.within("recorded").values()]
    assert len(shares) == 4 * 5 + 4
    assert np.mean(shares) > 0.9


def test_calls_are_priced_at_their_means() -> None:
    pairs, _ = made()
    rows = tuple(replace(row, usd=(0.1, at % 2 + 0.5)) for at, row in enumerate(pairs.rows))
    priced = at_mean_prices(replace(pairs, rows=rows))
    for row in (priced.rows[0], priced.rows[-1]):
        assert (*row.usd, row.judge_usd) == pytest.approx((0.1, 1.0, 0.05))


def test_the_gate_is_asked_of_a_judge_as_recorded_and_of_one_that_broke() -> None:
    held = contests("peer", *made(), seed=1)
    assert [contest.name.partition(",")[0] for contest in held] == ["peer"] * 3 + [
        "peer broken"
    ] * 3
    assert max(contest.truth for contest in held[:3]) > 0.02
    assert min(contest.truth for contest in held[3:]) < -0.02
    for contest, broken in zip(held[:3], held[3:], strict=True):
        assert broken.truth < contest.truth
    for contest in held:
        assert np.abs(contest.difference).max() <= contest.reach


@pytest.mark.parametrize("worth_of_a_pair", [0.8, -0.8])
def test_a_gate_decides_by_its_pairs(worth_of_a_pair: float) -> None:
    pair = np.arange(100) < 20
    contest = Contest("peer", np.where(pair, worth_of_a_pair, -0.01), pair, 1.2)
    found = Cells()
    found.run([partial(opens, contest=contest)], 20, 1)
    group = "pays" if worth_of_a_pair > 0 else "does_not_pay"
    assert found[f"{group}/peer"].share == 1
    assert found[f"{group}/peer"].amount[0] == pytest.approx(contest.truth)


@recorded
@pytest.mark.slow
def test_the_command_measures_all_of_it(tmp_path: Path) -> None:
    where = tmp_path / "figures.json"
    assert audit.main(["--seeds", "21-21", "--json", str(where)]) == 0
    named = json.loads(where.read_text("utf-8"))["figures"]
    assert set(named) >= ASKED_FOR
    assert named["llmbar_coverage"]["lower"] > 0.8
    assert named["recorded_gate_opens_in_error"]["value"] <= 0.05
