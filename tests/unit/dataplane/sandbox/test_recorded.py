from pathlib import Path

import pytest

from dataplane.sandbox.recorded import CLOUD, LOCAL, WRITERS, main, outcomes
from dataplane.sandbox.scoring import Local
from dataplane.sandbox.traffic import traffic

QUERIES = traffic(1, 40)
KNOWN = {
    query.text: Local(right=bool(at % 2), score=-0.1 * at, prompt_tokens=20, completion_tokens=4)
    for at, query in enumerate(QUERIES)
}


def test_each_query_has_a_row_of_either_model() -> None:
    rows = list(outcomes(QUERIES, KNOWN, seed=1))
    assert [row["model"] for row in rows] == [LOCAL.name, CLOUD.name] * 40
    assert len({row["query_id"] for row in rows}) == 40
    for row in rows:
        simulated = row["model"] == CLOUD.name
        assert (row["logprob"] is None) == simulated
        assert ("SIMULATED" in row["source"]) == simulated
        assert row["cost_usd"] > 0


def test_neither_answer_key_nor_difficulty_is_written() -> None:
    for row in outcomes(QUERIES, KNOWN, seed=1):
        assert not {"difficulty", "ground_truth", "answer"} & row.keys()


def test_the_cloud_answers_alike_to_the_same_seed() -> None:
    first, again, other = (
        [row["correct"] for row in outcomes(QUERIES, KNOWN, seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_an_unknown_form_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "a.xlsx")])
    assert ended.value.code == 2
    assert f"must be one of {', '.join(WRITERS)}" in capsys.readouterr().err
