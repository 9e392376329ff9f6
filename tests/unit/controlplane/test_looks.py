"""How the evidence on a proposal came about: what is kept of each look."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from controlplane.promote import LOOKS, Proposal, looked
from controlplane.stats.contest import Claim, compared, seen

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def shadowed() -> Proposal:
    proposal = Proposal(2, 1, 1, Claim(0.05), NOON, "shadow")
    return replace(proposal, contest=seen(proposal.contest, queries=2000, parted=400))


def paired(proposal: Proposal, gained: float = 1.0) -> Proposal:
    return replace(proposal, contest=compared(proposal.contest, gained, proposal.claim))


def test_a_look_without_a_new_pair_is_none() -> None:
    assert looked(shadowed(), NOON).looks == ()
    once = looked(paired(shadowed()), NOON)
    assert looked(once, NOON + timedelta(minutes=1)) is once
    (look,) = once.looks
    assert (look.pairs, look.stage, look.at) == (1, "shadow", NOON)
    assert look.log_for == once.contest.for_it.log_evidence > 0 > look.log_against


def test_the_looks_are_kept_with_the_proposal_and_over_its_stages() -> None:
    once = looked(paired(shadowed()), NOON)
    back = Proposal.restored(once.state())
    assert back.looks == once.looks
    live = looked(paired(replace(shadowed(), stage="live", looks=once.looks)), NOON)
    assert [(each.stage, each.pairs) for each in live.looks] == [("shadow", 1), ("live", 1)]


def test_a_state_of_the_release_before_has_no_looks() -> None:
    state = shadowed().state()
    del state["looks"]
    assert Proposal.restored(state) == shadowed()


def test_of_many_looks_half_go_and_the_last_stays() -> None:
    proposal = shadowed()
    for number in range(LOOKS + 1):
        proposal = looked(paired(proposal), NOON + timedelta(minutes=number))
    assert len(proposal.looks) == LOOKS // 2 + 1
    assert [proposal.looks[0].pairs, proposal.looks[-1].pairs] == [1, LOOKS + 1]
    for number in range(2 * LOOKS):
        proposal = looked(paired(proposal), NOON + timedelta(days=1, minutes=number))
        assert proposal.looks[-1].pairs == proposal.contest.pairs
    assert len(proposal.looks) <= LOOKS
