import json

import pytest

from controlplane.stats.gate import Gate, Terms, observe, opened

TERMS = Terms(reach=1.2)


def after(gate: Gate, difference: float, times: int) -> Gate:
    for _ in range(times):
        gate = observe(gate, difference, TERMS)
    return gate


def test_it_opens_by_evidence_and_consent_and_closes_by_evidence_alone() -> None:
    earned = after(Gate(), 0.5, 60)
    assert earned.standing == "earned"
    gate = opened(earned)
    assert gate.standing == "open"
    closed = gate
    for _ in range(500):
        closed = observe(closed, -0.5, TERMS)
        if closed.standing == "closed":
            break
    assert closed == Gate()


def test_an_opening_that_nobody_accepted_is_lost_when_the_judge_breaks() -> None:
    gate, standings = after(Gate(), 0.5, 60), set()
    for _ in range(200):
        gate = observe(gate, -0.5, TERMS)
        standings.add(gate.standing)
    assert standings == {"earned", "closed"}


def test_what_has_not_been_earned_cannot_be_accepted() -> None:
    with pytest.raises(ValueError, match="no opening"):
        opened(Gate())


def test_queries_without_a_pair_bear_cost_and_do_not_count() -> None:
    gate = Gate("open")
    for _ in range(10):
        gate = observe(gate, -0.01, TERMS, pair=False)
    assert gate.closing.updates == 0
    dearer = observe(Gate(), -0.01, TERMS, pair=False)
    assert dearer.opening.log_evidence < 0


def test_it_survives_json() -> None:
    gate = opened(after(Gate(), 0.5, 60))
    gate = observe(gate, -0.3, TERMS)
    assert Gate.restored(json.loads(json.dumps(gate.state()))) == gate


def test_a_difference_out_of_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="below the least"):
        observe(Gate(), -1.3, TERMS)
