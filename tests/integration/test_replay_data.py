"""On public recordings, too, no decision depends on what was not revealed."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.evaluate.pairing import Wanted, pair
from controlplane.evaluate.recorded import find, read
from controlplane.evaluate.rehearsal import Plan, rehearse
from controlplane.evaluate.replay import Replay, Row, Served
from tests.unit.controlplane.evaluate.veils import decisions, permuted

DATA = os.environ.get("PENSTOCK_DATA")
ROWS = 1300

pytestmark = pytest.mark.skipif(
    DATA is None, reason="PENSTOCK_DATA names no folder with the public recordings"
)


@pytest.mark.parametrize(
    ("file", "target", "wanted"),
    [
        (
            "routellm_gsm8k",
            0.8,
            Wanted("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
        ),
        (
            "routellm_mmlu",
            0.8,
            Wanted("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
        ),
        (
            "zeroeval_gsm",
            0.93,
            Wanted(
                "Meta-Llama-3.1-8B-Instruct",
                "gpt-4o-2024-08-06",
                judge="agreement:gpt-4o-mini-2024-07-18",
            ),
        ),
    ],
)
def test_unseen_outcomes_change_no_decision(file: str, target: float, wanted: Wanted) -> None:
    assert DATA is not None
    found = pair(read(find(file, Path(DATA)), wanted.columns), wanted)
    plan = Plan(target=target, audit=0.15, shadow=0.1, seed=2)
    mapped = {wanted.local: "local", wanted.cloud: "cloud"}

    def run(rows: Sequence[Row]) -> tuple[Replay, list[Served]]:
        whole = rehearse(found, plan)  # the price list is of the file as it is
        served = list(whole.replay.run(rows))
        return whole.replay, [_renamed(each, mapped) for each in served]

    rows = found.rows[:ROWS]
    replay, served = run(rows)
    assert len(replay.policies) >= 3
    changed = permuted(rows, served, seed=5)
    assert sum(one != other for one, other in zip(rows, changed, strict=True)) > ROWS / 4
    assert decisions(run, changed) == decisions(run, rows)


def _renamed(served: Served, mapped: dict[str, str]) -> Served:
    actions = (
        f"call:{mapped[action.removeprefix('call:')]}" if action.startswith("call:") else action
        for action in served.actions
    )
    return replace(served, actions=tuple(actions))
