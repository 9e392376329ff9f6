"""The curve that the learner sees: what it makes of every arm of a mode, dear and cheap alike."""

from controlplane.learn.estimate import Basis, estimate
from controlplane.learn.goals import Estimate
from controlplane.learn.policy_family import ALWAYS_CLOUD, ALWAYS_LOCAL, Arm, Arms, coarse
from controlplane.learn.pull import on_trial
from dataplane.contract.terms import Mode


def curve(basis: Basis, usual: Mode) -> list[tuple[Arm, Estimate]]:
    """The live arm, both ends, and arms of the live mode at every lambda.

    Where one tier serves all, the mode is the ``usual`` one, or routing while the judge is on
    trial.
    """
    live = Arm.of(basis.draft.segments[0])
    mode = live.mode
    if mode.startswith("always"):
        mode = "route" if on_trial(basis.draft) else usual
    moved = (Arm(mode, at) for at in coarse(len(basis.draft.tiers)))
    arms = dict.fromkeys((live, ALWAYS_LOCAL, ALWAYS_CLOUD, *moved))
    return list(zip(arms, estimate(basis, Arms(arms)), strict=True))
