"""The story of a policy without its store: replay and simulation run this very function."""

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.audit.certificates import Certifier, Ground
from controlplane.audit.trial import Trial
from controlplane.audit.trust import Key, Trust
from controlplane.cycle import turn
from controlplane.observe import MEMORY, MemoryLog
from controlplane.stats.gate import Gate, Standing
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, QualityTarget, ShadowTerms, WrongAcceptances
from tests.policies import policy
from tests.scripted_learner import ScriptedLearner
from tests.traffic import AUDIT, query
from tests.unit.dataplane.policies import CERTIFIED, certificate

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_turn_observes_learns_and_proposes() -> None:
    log, learner, live = MemoryLog(), ScriptedLearner([0.3]), policy()
    log.complete(query(1), [AUDIT])
    log.complete(query(2))
    done = turn(log, learner, live, {}, NOW)
    assert [o.decision_id for o in done.observations] == [query(n).decision_id for n in (1, 2)]
    assert done.proposal is not None
    assert done.proposal.segments[0].lambda_ == 0.3
    assert done.watermark == {MEMORY: 1}
    log.resolve(query(1).decision_id, {"local": 1.0})
    after = turn(log, learner, live, done.watermark, NOW)
    assert after.observations == []
    assert learner.labelled == [str(query(1).decision_id)]


def test_a_frozen_learner_goes_on_learning_and_moves_nothing() -> None:
    log, learner = MemoryLog(), ScriptedLearner([0.3])
    log.complete(query(1))
    done = turn(log, learner, policy(), {}, NOW, frozen=True)
    assert done.proposal is None
    assert learner.observed == [str(query(1).decision_id)]
    thawed = turn(log, learner, policy(), done.watermark, NOW)
    assert thawed.proposal is not None


def test_a_share_of_the_labels_is_seen_and_not_learned_from() -> None:
    log, learner, live = MemoryLog(), ScriptedLearner(), policy(audit=AuditTerms(rate=0.1))
    for number in range(300):
        log.complete(query(number), [AUDIT])
    watermark = turn(log, learner, live, {}, NOW).watermark
    for number in range(300):
        log.resolve(query(number).decision_id, {"local": 1.0})
    done = turn(log, learner, live, watermark, NOW)
    held_out = {str(each.observation.decision_id) for each in done.labelled if each.held_out(0.1)}
    assert len(done.labelled) == 300
    assert 15 < len(held_out) < 50
    assert held_out.isdisjoint(learner.labelled)
    assert len(learner.labelled) == 300 - len(held_out)


def test_nothing_new_is_a_still_turn() -> None:
    assert turn(MemoryLog(), ScriptedLearner([0.3]), policy(), {}, NOW).still


def test_a_freeze_holds_back_no_void() -> None:
    """A certificate that stands goes at an alarm; one that is earned waits for the thaw."""
    log, learner, certifier = MemoryLog(), ScriptedLearner(), Certifier()
    rates: dict[str, Any] = {"audit": AuditTerms(rate=0.1), "shadow": ShadowTerms(rate=0.1)}
    asked = QualityTarget(target_quality=0.9, wrong_acceptances=WrongAcceptances())
    live = policy("always_cloud", objective=asked, **rates)
    certifier.grounds["default"] = Ground(
        judge="logprob", edges=[-1.0, -0.5], pairs=[10, 10, 280], lost=[0, 0, 0]
    )
    held_back = turn(log, learner, live, {}, NOW, frozen=True, certifier=certifier)
    assert held_back.proposal is None
    certified = turn(log, learner, live, {}, NOW, certifier=certifier).proposal
    assert certified is not None
    assert certified.segments[0].certificate is not None
    for number in range(13):  # the scripted learner alarms at its thirteenth
        log.complete(query(number))
    void = turn(log, learner, certified, {}, NOW, frozen=True, certifier=certifier)
    assert void.proposal is not None
    assert void.proposal.segments[0].certificate is None
    assert [kind for kind, _ in void.events] == ["certificate_void"]


RATES: dict[str, Any] = {"audit": AuditTerms(rate=0.1), "shadow": ShadowTerms(rate=0.1)}


def gate(standing: Standing) -> Trust:
    trust = Trust(lambda _: None)
    trust.trials[Key("logprob", "default")] = Trial(Gate(standing))
    return trust


def due() -> Certifier:
    """One that certifies in its next turn, if that is asked for."""
    ground = Ground(judge="logprob", edges=[-1.0, -0.5], pairs=[10, 10, 280], lost=[0, 0, 0])
    return Certifier({"default": ground})


def on_trial() -> PolicyDocument:
    """A certificate is asked for, and none is there yet."""
    live = policy("always_cloud", objective=CERTIFIED, **RATES)
    tried = live.segments[0].replaced(trust="closed", trial_lambda=0.2)
    return live.replaced(segments=(tried,))


@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_void_and_what_lost_its_say_go_as_one_policy(frozen: bool) -> None:
    """Frozen, the void goes alone."""
    live = policy("cascade_route", **RATES)
    held = live.segments[0].replaced(certificate=certificate(-1.0))
    live = live.model_copy(update={"objective": CERTIFIED, "segments": (held,)}).rederived()
    log, certifier = MemoryLog(), due()
    certifier.grounds["default"].certificate = certificate(-1.0)
    for number in range(13):  # the scripted learner alarms at its thirteenth
        log.complete(query(number))
    learner, trust = ScriptedLearner([0.3]), gate("closed")
    done = turn(log, learner, live, {}, NOW, trust=trust, frozen=frozen, certifier=certifier)
    assert done.proposal is not None
    segment = done.proposal.segments[0]
    assert (done.proposal.version, done.proposal.parent) == (2, 1)
    assert (segment.mode, segment.certificate) == ("always_cloud", None)
    assert segment.trust == ("open" if frozen else "closed")
    assert "void" in done.proposal.reason
    assert ("lost its say" in done.proposal.reason) is not frozen
    assert learner.lambdas == [0.3]


def test_an_opening_that_was_earned_goes_out_with_the_certificate_it_waited_for() -> None:
    live, certifier = on_trial(), due()
    waiting = turn(MemoryLog(), ScriptedLearner(), live, {}, NOW, trust=gate("earned"))
    assert waiting.proposal is None
    done = turn(
        MemoryLog(), ScriptedLearner(), live, {}, NOW, trust=gate("earned"), certifier=certifier
    )
    assert done.proposal is not None
    segment = done.proposal.segments[0]
    assert (done.proposal.version, segment.trust, segment.mode) == (2, "open", "cascade_route")
    assert segment.certificate is not None
    assert "certified" in done.proposal.reason
    assert "earned its say" in done.proposal.reason


def test_a_certificate_opens_no_gate() -> None:
    done = turn(
        MemoryLog(), ScriptedLearner(), on_trial(), {}, NOW, trust=gate("closed"), certifier=due()
    )
    assert done.proposal is not None
    segment = done.proposal.segments[0]
    assert segment.certificate is not None
    assert (segment.trust, segment.mode) == ("closed", "always_cloud")
