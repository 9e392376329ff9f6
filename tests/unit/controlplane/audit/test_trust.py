"""The gate's story: on trial, earned, open, lost; and that only the order of draws matters."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.audit.comparison import Comparison
from controlplane.audit.trial import Trial
from controlplane.audit.trust import UNDECIDED_FOR, Trust, terms
from controlplane.cycle import turn
from controlplane.observations import Labelled, Place
from controlplane.observe import MemoryLog, Watermark
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, ShadowTerms, TrustTerms
from dataplane.strategies import Drawn
from tests.policies import DOUBTFUL, SURE, policy
from tests.scripted_learner import ScriptedLearner
from tests.traffic import query
from tests.unit.dataplane.policies import CERTIFIED, certificate

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DRAWN = [Drawn("audit", 0.2), Drawn("shadow", 0.2, "local")]
RATES = {"audit": AuditTerms(rate=0.2), "shadow": ShadowTerms(rate=0.2)}
OPEN = policy("cascade_route", lambda_=0.2, **RATES)


def closed(**fields: object) -> PolicyDocument:
    live = policy("route", lambda_=0.2, **RATES, **fields)
    return live.replaced(segments=(live.segments[0].replaced(trust="closed", trial_lambda=0.2),))


CLOSED = closed()


def documents(*known: PolicyDocument) -> Trust:
    shelf = {document.version: document for document in known}
    return Trust(shelf.get)


def pair(number: int, local: float = 1.0, version: int = 1) -> Labelled:
    """The judge would have kept the local answer, routing sent it to the cloud."""
    seen = query(number, answered=("cloud",), score=SURE, policy_version=version)
    return Labelled(seen, {"local": local, "cloud": 1.0}, 0.2, 0.2)


def until(trust: Trust, live: PolicyDocument, local: float, most: int = 400) -> int:
    """Pairs until there is a verdict on the live policy."""
    for number in range(most):
        trust.agree(live, NOW)
        trust.hear([pair(number, local, live.version)], (str(number),))
        if trust.verdict(live, NOW) is not None:
            return number
    return most


def test_a_good_judge_earns_its_say_and_the_proposal_gives_the_evidence() -> None:
    trust = documents(CLOSED)
    assert until(trust, CLOSED, 1.0) < 100
    opening = trust.verdict(CLOSED, NOW)
    assert opening is not None
    assert (opening.kind, opening.version, opening.parent) == ("proposal", 2, 1)
    segment = opening.segments[0]
    assert (segment.mode, segment.trust, segment.lambda_) == ("cascade_route", "open", 0.2)
    assert "earned its say in segment default: worth +0." in opening.reason
    (news,) = trust.news()
    told = news.to_json()
    assert (told["standing"], told["judge"], told["segment"]) == ("earned", "logprob", "default")
    assert told["e_value"] >= told["e_value_wanted"] == pytest.approx(20)
    trust.agree(opening, NOW)
    assert [each.standing for each in trust.news()] == ["open"]
    assert trust.verdict(opening, NOW) is None


def test_a_judge_that_breaks_loses_its_say_at_once_and_is_tried_afresh() -> None:
    trust = documents(OPEN)
    assert until(trust, OPEN, 0.0) < 100
    closing = trust.verdict(OPEN, NOW)
    assert closing is not None
    assert (closing.kind, closing.author) == ("retune", "learner")
    segment = closing.segments[0]
    assert (segment.mode, segment.trust, segment.trial_lambda) == ("always_cloud", "closed", 0.2)
    assert "lost its say" in closing.reason
    (news,) = trust.news()
    assert news.evidence is not None
    assert news.evidence.log_evidence >= news.evidence.wanted
    trust.agree(closing, NOW)
    (trial,) = trust.trials.values()
    assert (trial.gate.standing, trial.pairs, trial.queries) == ("closed", 0, 0)


def test_an_operator_may_want_to_be_asked() -> None:
    live = closed(trust=TrustTerms(opens="when_accepted"))
    trust = documents(live)
    assert until(trust, live, 1.0, most=100) == 100
    accepted = trust.verdict(live, NOW, accepted=["default"])
    assert accepted is not None
    assert accepted.author == "operator"


def test_a_policy_that_distrusts_its_judge_puts_it_on_trial_again() -> None:
    trust = documents(OPEN, CLOSED)
    trust.agree(OPEN, NOW)
    trust.agree(CLOSED, NOW)
    (news,) = trust.news()
    assert (news.standing, news.evidence) == ("closed", None)
    assert trust.verdict(CLOSED, NOW) is None


def test_a_new_judge_beside_known_gates_is_not_taken_at_a_policys_word() -> None:
    trust = documents(CLOSED)
    trust.agree(CLOSED, NOW)
    other = OPEN.replaced(judge=OPEN.judge.replaced(judge="another"))
    trust.agree(other, NOW)
    closing = trust.verdict(other, NOW)
    assert closing is not None
    assert closing.segments[0].trust == "closed"


def test_a_useless_judge_is_given_up_on_and_looked_at_seldom() -> None:
    trust, trial = documents(CLOSED), Trial()
    trust.agree(CLOSED, NOW)
    assert trust.undecided(CLOSED)
    for number in range(UNDECIDED_FOR):
        told = Comparison(0.5 if number % 2 else -0.52, 1.0, 1.2, pair=True)
        trial = trial.hear(told, NOW, terms(CLOSED, told.reach))
    trust.trials[next(iter(trust.trials))] = trial
    assert not trust.undecided(CLOSED)


def test_segments_share_the_level() -> None:
    one = CLOSED.segments[0]
    both = CLOSED.replaced(segments=(one, one.replaced(name="other")))
    assert terms(both).level == pytest.approx(terms(CLOSED).level / 2)


def test_it_comes_back_as_it_was() -> None:
    trust = documents(OPEN)
    until(trust, OPEN, 0.0)
    again = Trust.from_json(trust.to_json(), trust.documents)
    assert (again.trials, again.place, again.to_json()) == (
        trust.trials,
        trust.place,
        trust.to_json(),
    )


def resolved(order: Sequence[int], cuts: Sequence[int], outcomes: Mapping[int, float]) -> Trust:
    """Twenty draws whose labels come in this order, with turns of the cycle in between."""
    log, trust = MemoryLog(), documents(CLOSED)
    watermark: Watermark = {}
    for number in range(20):
        score = SURE if number % 3 else DOUBTFUL
        log.complete(query(number, answered=("cloud",), score=score), DRAWN)
    for place, number in enumerate([*order, -1]):
        if place in cuts or number < 0:
            watermark = turn(log, ScriptedLearner(), CLOSED, watermark, NOW, trust=trust).watermark
        if number >= 0:
            local = outcomes[number]
            told = {} if local == 0.5 else {"local": local, "cloud": 1.0}
            log.resolve(query(number).decision_id, told)
    turn(log, ScriptedLearner(), CLOSED, watermark, NOW, trust=trust)
    return trust


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_order_the_labels_came_in_the_gate_is_the_same(data: st.DataObject) -> None:
    outcomes = dict(
        enumerate(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=20, max_size=20)))
    )
    order = data.draw(st.permutations(range(20)))
    cuts = [0, *data.draw(st.lists(st.integers(1, 20), max_size=6))]
    plain = resolved(range(20), [0], outcomes)
    assert resolved(order, cuts, outcomes).to_json() == plain.to_json()


def test_it_waits_for_the_first_unresolved_draw() -> None:
    log, trust = MemoryLog(), documents(CLOSED)
    for number in range(3):
        log.complete(query(number, answered=("cloud",), score=SURE), DRAWN)
    turn(log, ScriptedLearner(), CLOSED, {}, NOW, trust=trust)
    for number in (2, 1):
        log.resolve(query(number).decision_id, {"local": 1.0, "cloud": 1.0})
    place: Place = ()
    assert log.in_order(place) == ([], ())
    log.resolve(query(0).decision_id, {})
    found, place = log.in_order(place)
    assert [each.observation.decision_id for each in found] == [
        query(number).decision_id for number in range(3)
    ]
    assert log.in_order(place) == ([], place)


def test_held_out_labels_are_not_heard() -> None:
    trust = documents(CLOSED)
    numbers = range(40)
    held_out = [number for number in numbers if pair(number).held_out(CLOSED.audit.held_out)]
    assert held_out
    trust.hear([pair(number) for number in held_out], ("x",))
    assert trust.trials == {}
    trust.hear([pair(number) for number in numbers], ("y",))
    (trial,) = trust.trials.values()
    assert trial.pairs == len(numbers) - len(held_out)


def certified(live: PolicyDocument, **segment: object) -> PolicyDocument:
    """The same where a certificate is asked for, with the segment so."""
    segments = (live.segments[0].replaced(**segment),)
    return live.model_copy(update={"objective": CERTIFIED, "segments": segments}).rederived()


def test_an_opening_that_was_earned_waits_for_the_certificate_that_is_asked_for() -> None:
    trust = documents(CLOSED)
    until(trust, CLOSED, 1.0)
    uncertified = certified(CLOSED, mode="always_cloud")
    for accepted in ((), ("default",)):
        assert trust.verdict(uncertified, NOW, accepted) is None
    held = certificate(-1.0)
    opening = trust.verdict(certified(CLOSED, mode="always_cloud", certificate=held), NOW)
    assert opening is not None
    segment = opening.segments[0]
    assert (segment.mode, segment.trust) == ("cascade_route", "open")
    assert segment.certificate == held
    assert segment.judge_cutoff >= held.score


def test_a_closing_keeps_the_certificate_and_asks_the_cloud() -> None:
    live = certified(OPEN, certificate=certificate(-1.0))
    trust = documents(live)
    assert until(trust, live, 0.0) < 100
    closing = trust.verdict(live, NOW)
    assert closing is not None
    segment = closing.segments[0]
    assert (segment.mode, segment.trust) == ("always_cloud", "closed")
    assert segment.certificate == certificate(-1.0)


def test_no_document_no_evidence() -> None:
    trust = Trust(lambda _: None)
    trust.hear([pair(1)], ("1",))
    assert trust.trials == {}
    assert trust.place == ("1",)
