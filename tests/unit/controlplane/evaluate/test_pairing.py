from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.evaluate.pairing import Pairs, Wanted, pair
from controlplane.evaluate.recorded import RecordingError, read
from dataplane.features import of_text
from tests.unit.controlplane.evaluate.tables import both, outcome, written

Paired = Callable[..., Pairs]


@pytest.fixture
def paired(tmp_path: Path) -> Paired:
    def of(rows: list[dict[str, Any]], **options: Any) -> Pairs:
        wanted = Wanted("small", "large", **options)
        return pair(read(written(tmp_path / "a.jsonl", rows), wanted.columns), wanted)

    return of


def test_rows_hold_what_either_model_made_of_a_query(paired: Paired) -> None:
    pairs = paired([*both(1, 0.0, 1.0), *both(2, 1.0, 0.0)])
    assert pairs.ids == ("q1", "q2")
    row = pairs.rows[0]
    assert (row.worth, row.usd) == ((0.0, 1.0), (0.001, 0.01))
    assert row.features == of_text("What is 1 + 1?")
    assert row.score is None
    assert pairs.judge is None


def test_queries_that_lack_a_model_or_are_contaminated_are_counted(paired: Paired) -> None:
    rows = [
        *both(1, 1.0, 1.0, contaminated=False),
        outcome(2, "small", 1.0, contaminated=False),
        outcome(3, "large", 1.0, contaminated=False),
        *both(4, 1.0, 1.0, contaminated=True),
        outcome(5, "other", 1.0, contaminated=False),
    ]
    pairs = paired(rows)
    assert (pairs.ids, pairs.lacking, pairs.contaminated) == (("q1",), 2, 1)


def test_quality_serves_where_there_is_no_correct(paired: Paired) -> None:
    rows = [row | {"quality": 0.25} for row in both(1, 1.0, 1.0)]
    for row in rows:
        del row["correct"]
    assert paired(rows).rows[0].worth[0] == 0.25


def test_an_outcome_that_was_not_recorded_leaves_the_query_out(paired: Paired) -> None:
    rows = [*both(1, 1.0, 1.0), outcome(2, "small", 1.0) | {"correct": None}]
    assert paired([*rows, outcome(2, "large", 1.0)]).lacking == 1


def test_a_column_judges_and_may_be_silent(paired: Paired) -> None:
    rows = [
        outcome(1, "small", 1.0, sure=0.75),
        outcome(1, "large", 1.0),
        outcome(2, "small", 1.0),
        outcome(2, "large", 1.0, sure=0.5),
    ]
    pairs = paired(rows, judge="sure", judge_price=0.002)
    assert [row.score for row in pairs.rows] == [0.75, None]
    assert {row.judge_usd for row in pairs.rows} == {0.002}
    assert pairs.judge is not None
    assert pairs.judge.name == "sure"


def test_agreement_judges_at_the_cost_of_the_peer(paired: Paired) -> None:
    rows = [
        outcome(1, "small", 1.0, answer="Paris "),
        outcome(1, "peer", 1.0, answer="paris", cost_usd=0.003),
        outcome(1, "large", 1.0, answer="Rome"),
        outcome(2, "small", 1.0, answer="18"),
        outcome(2, "peer", 1.0, answer="19", cost_usd=0.004),
        outcome(2, "large", 1.0, answer="18"),
        outcome(3, "small", 1.0, answer="7"),
        outcome(3, "large", 1.0, answer="7"),
        outcome(4, "small", 1.0),
        outcome(4, "peer", 1.0, cost_usd=0.003),
        outcome(4, "large", 1.0),
    ]
    pairs = paired(rows, judge="agreement:peer")
    assert [row.score for row in pairs.rows] == [1.0, 0.0, None, 0.0]
    assert [row.judge_usd for row in pairs.rows] == [0.003, 0.004, 0.0, 0.003]


def test_peers_are_asked_in_turn_until_one_agrees(paired: Paired) -> None:
    answers = {"first": "yes", "second": "yes", "third": "no"}
    rows = []
    for query, local in enumerate(("yes", "no", "perhaps"), 1):
        rows += both(query, 1.0, 1.0, answer=local)
        rows += [
            outcome(query, peer, 1.0, answer=said, cost_usd=price)
            for (peer, said), price in zip(answers.items(), (1.0, 2.0, 4.0), strict=True)
        ]
    rows += [*both(4, 1.0, 1.0, answer="no"), outcome(4, "first", 1.0, answer="yes", cost_usd=1.0)]
    asked = paired(rows, judge="agreement:first,second,third")
    assert [row.score for row in asked.rows] == pytest.approx([1.0, 1 / 3, 0.0, None])
    assert [row.judge_usd for row in asked.rows] == [1.0, 7.0, 7.0, 0.0]
    assert asked.judge is not None
    assert asked.judge.name == "first,second,third"


def test_prices_stand_in_for_costs(paired: Paired) -> None:
    rows = both(1, 1.0, 1.0, cost_usd=None)
    row = paired(rows, local_price=0.0, cloud_price=0.5).rows[0]
    assert row.usd == (0.0, 0.5)


def test_the_category_is_seen_where_asked_for(paired: Paired) -> None:
    rows = both(1, 1.0, 1.0, category="sums")
    assert paired(rows).rows[0].features == of_text("What is 1 + 1?")
    assert paired(rows).categories == ("sums",)
    assert paired(rows, category=True).rows[0].features == of_text("What is 1 + 1?", "sums")


ONE = both(1, 1.0, 1.0, answer="a", word="x")


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (both(1, 1.0, 1.0, prompt=None), {}, 'no column "prompt"; its columns are query_id, model'),
        (both(1, 1.0, 1.0, cost_usd=None), {}, 'no column "cost_usd".*--local-price'),
        ([row | {"correct": 1.5} for row in ONE], {}, "row 1 has a quality of 1.5"),
        ([ONE[0] | {"model": "smal"}, ONE[1]], {}, 'no model "small"; .*large, smal; did you mean'),
        ([*ONE, ONE[1]], {}, "large has 2 rows of query q1; choose one with --where"),
        ([ONE[0] | {"cost_usd": None}, ONE[1]], {}, r"1 rows of small have no cost \(row 1 is"),
        ([ONE[0], outcome(2, "large", 1.0)], {}, "no query has an outcome of small and large"),
        (ONE, {"judge": "confidence"}, 'no column "confidence"'),
        (ONE, {"judge": "word"}, 'column "word" is not numeric'),
        (ONE, {"judge": "agreement:huge"}, 'no model "huge"'),
        (ONE, {"judge": "agreement:peer,large"}, "a judge that is also a tier is refused"),
        (ONE, {"where": {"file": ["a"]}}, 'no column "file"'),
    ],
)
def test_what_a_recording_lacks_is_one_line(
    paired: Paired, rows: list[dict[str, Any]], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecordingError, match=said) as refused:
        paired(rows, **options)
    assert "\n" not in str(refused.value)


def test_further_tiers_stand_between_by_their_mean_cost(paired: Paired) -> None:
    rows = [
        *both(1, 0.0, 1.0),
        outcome(1, "dear", 1.0, cost_usd=0.009),
        outcome(1, "cheap", 0.5, cost_usd=0.004),
        *both(2, 1.0, 1.0),
        outcome(2, "dear", 1.0, cost_usd=0.003),
        outcome(2, "cheap", 1.0, cost_usd=0.004),
        *both(3, 1.0, 1.0),
        outcome(3, "cheap", 1.0),
    ]
    pairs = paired(rows, between=("dear", "cheap"))
    assert pairs.tiers == ("small", "cheap", "dear", "large")
    assert (pairs.ids, pairs.lacking) == (("q1", "q2"), 1)
    assert pairs.rows[0].worth == (0.0, 0.5, 1.0, 1.0)
    assert pairs.rows[0].usd == (0.001, 0.004, 0.009, 0.01)


def test_one_model_is_no_pair(tmp_path: Path) -> None:
    wanted = Wanted("small", "small")
    recording = read(written(tmp_path / "a.jsonl", ONE), wanted.columns)
    with pytest.raises(RecordingError, match="small is named as 2 tiers"):
        pair(recording, wanted)
