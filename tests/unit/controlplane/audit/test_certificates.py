"""When a cutoff is certified, and when that is void."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from controlplane.audit.certificates import BINS, LABELS, SCORES, Certifier, lawful, may_be_lost
from controlplane.observations import Labelled, Observation
from controlplane.stats import share_of_delta
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, ShadowTerms, WrongAcceptances
from tests.traffic import query
from tests.unit.dataplane.policies import CERTIFIED, judge, policy

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RATES = {"audit": AuditTerms(rate=0.2), "shadow": ShadowTerms(rate=0.1)}
LIVE = policy(objective=CERTIFIED, segment={"mode": "always_cloud"}, **RATES)
MODELS = {"local": "local-model", "cloud": "cloud-model"}


def shadowed(number: int, score: float, *, lost: bool, audit: float = 0.2) -> Labelled:
    """A query that the cloud served, its local answer judged as a shadow; both labelled."""
    seen = replace(query(number, answered=("cloud",), score=score), models=MODELS)
    local = 0.0 if lost else 1.0
    return Labelled(seen, {"local": local, "cloud": 1.0}, audit, 0.1)


def pairs(first: int, count: int, share_lost: float = 0.02, seed: int = 0) -> list[Labelled]:
    """Pairs whose losses lie at the lowest scores."""
    scores = -np.random.default_rng(seed).exponential(0.5, count)
    lowest = np.quantile(scores, share_lost)
    return [shadowed(first + at, s, lost=s < lowest) for at, s in enumerate(scores.tolist())]


def fed(certifier: Certifier, live: PolicyDocument, labelled: Sequence[Labelled]) -> PolicyDocument:
    """The policy in force after these queries were seen, and their labels came."""
    seen = [each.observation for each in labelled]
    bare = [replace(each, score=None) for each in seen]
    return certifier.review(live, bare, labelled, [], NOW).policy


@pytest.fixture
def certified() -> tuple[Certifier, PolicyDocument]:
    certifier = Certifier()
    live = fed(certifier, LIVE, pairs(0, SCORES))
    live = fed(certifier, live, pairs(SCORES, LABELS))
    assert live.segments[0].certificate is not None
    return certifier, live


def test_scores_come_first_then_labels_then_a_certificate() -> None:
    certifier = Certifier()
    assert fed(certifier, LIVE, pairs(0, SCORES)) is LIVE
    (standing,) = certifier.standing()
    assert (standing["bins_frozen"], standing["labels"], standing["missing"]) == (True, 0, LABELS)
    assert fed(certifier, LIVE, pairs(SCORES, LABELS - 1)) is LIVE
    found = fed(certifier, LIVE, pairs(SCORES + LABELS - 1, 1))
    assert (found.version, found.kind, found.parent) == (2, "proposal", 1)
    held = found.segments[0].certificate
    assert held is not None
    assert (held.labels, held.attempt, held.bins) == (LABELS, 1, BINS)
    assert held.delta == pytest.approx(share_of_delta(0.1, 1))
    assert held.risk <= held.limit == 0.05
    assert (held.local_model, held.cloud_model) == ("local-model", "cloud-model")


def test_labels_of_queries_from_before_the_bins_count_for_nothing() -> None:
    certifier = Certifier()
    early = pairs(0, SCORES)
    fed(certifier, LIVE, early)
    fed(certifier, LIVE, early)
    assert certifier.standing()[0]["labels"] == 0


def test_it_is_tried_again_when_the_labels_have_doubled(
    certified: tuple[Certifier, PolicyDocument],
) -> None:
    certifier, live = certified
    live = fed(certifier, live, pairs(1000, LABELS - 1, 0.0))
    assert certifier.standing()[0]["attempts"] == 1
    first = live.segments[0].certificate
    live = fed(certifier, live, pairs(2000, 1, 0.0))
    second = live.segments[0].certificate
    assert first is not None
    assert second is not None
    assert (second.attempt, second.labels) == (2, 2 * LABELS)
    assert second.delta == pytest.approx(share_of_delta(0.1, 2))
    assert second.score <= first.score


def test_an_alarm_voids_it_at_once(certified: tuple[Certifier, PolicyDocument]) -> None:
    certifier, live = certified
    judging = (live.segments[0].replaced(mode="cascade"),)
    live = live.model_copy(update={"segments": judging}).rederived()
    found = certifier.review(live, [], [], ["the judge's scores are not as expected"], NOW)
    assert found.voids
    (segment,) = found.policy.segments
    assert (segment.mode, segment.certificate) == ("always_cloud", None)
    ((kind, body),) = found.events
    assert kind == "certificate_void"
    assert "not as expected" in str(body["reason"])
    late = pairs(SCORES, LABELS, 0.0)
    assert fed(certifier, found.policy, late) is found.policy  # they are from before the alarm
    assert fed(certifier, found.policy, pairs(5000, LABELS)).segments[0].certificate is not None
    assert certifier.standing()[0]["attempts"] == 2


@pytest.mark.parametrize("tier", ["local", "cloud"])
def test_another_model_at_either_end_voids_it(
    certified: tuple[Certifier, PolicyDocument], tier: str
) -> None:
    certifier, live = certified
    other = replace(query(9000), models=MODELS | {tier: "another"})
    found = certifier.review(live, [other], [], [], NOW)
    assert found.policy.segments[0].certificate is None
    ((_, body),) = found.events
    assert f"{MODELS[tier]} was the {tier} model, now it is another" in str(body["reason"])
    assert not certifier.standing()[0]["bins_frozen"]
    late = replace(query(8000), models=MODELS)  # from before it
    assert certifier.review(found.policy, [late], [], [], NOW).events == ()


def test_a_model_between_the_ends_is_not_what_it_stands_on(
    certified: tuple[Certifier, PolicyDocument],
) -> None:
    certifier, live = certified
    other = replace(query(9000), models=MODELS | {"middle": "another"})
    assert certifier.review(live, [other], [], [], NOW).policy is live


def test_another_judge_voids_it(certified: tuple[Certifier, PolicyDocument]) -> None:
    certifier, live = certified
    renamed = lawful(live.model_copy(update={"judge": judge().replaced(judge="other")}))
    assert renamed.segments[0].certificate is None
    found = certifier.review(renamed.rederived(), [], [], [], NOW)
    assert found.policy.segments[0].certificate is None
    assert [kind for kind, _ in found.events] == ["certificate_void"]


def test_another_limit_is_certified_anew(certified: tuple[Certifier, PolicyDocument]) -> None:
    certifier, live = certified
    strict = CERTIFIED.replaced(wrong_acceptances=WrongAcceptances(limit=0.02))
    asked = lawful(live.model_copy(update={"objective": strict})).rederived()
    assert asked.segments[0].certificate is None
    held = certifier.review(asked, [], [], [], NOW).policy.segments[0].certificate
    assert held is not None
    assert (held.limit, held.attempt) == (0.02, 2)
    assert held.risk <= 0.02


def test_where_none_is_asked_for_nothing_is_published() -> None:
    certifier, live = Certifier(), policy(**RATES)
    for first in (0, 1000, 2000):
        assert fed(certifier, live, pairs(first, LABELS)) is live
    assert certifier.standing()[0]["labels"] == 2 * LABELS


def test_what_is_drawn_oftener_is_kept_as_rarely_as_the_rest() -> None:
    """Escalated queries have both answers: an audit alone labels the pair, at twice the rate."""
    certifier = Certifier()
    fed(certifier, LIVE, pairs(0, SCORES))
    both = [
        Labelled(escalated(number), {"local": 0.0, "cloud": 1.0}, 0.2, 0.0)
        for number in range(SCORES, SCORES + 2000)
    ]
    fed(certifier, LIVE, both)
    assert certifier.standing()[0]["labels"] == pytest.approx(1000, abs=100)


def test_a_query_that_pinned_its_tier_says_nothing_of_a_cutoff() -> None:
    certifier = Certifier()
    fed(certifier, LIVE, pairs(0, SCORES))
    pinned = [
        replace(each, observation=replace(each.observation, excluded=frozenset({"local"})))
        for each in pairs(SCORES, 50)
    ]
    fed(certifier, LIVE, pinned)
    assert certifier.standing()[0]["labels"] == 0


def escalated(number: int) -> Observation:
    return query(number, answered=("local", "cloud"), score=-0.5)


def test_an_unsure_label_counts_as_lost_where_it_may_hide_a_loss() -> None:
    assert may_be_lost(None, None)
    assert not may_be_lost(1.0, None)
    certifier = Certifier()
    fed(certifier, LIVE, pairs(0, SCORES))
    unsure = [replace(each, right={"cloud": 1.0}) for each in pairs(SCORES, LABELS)]
    held = fed(certifier, LIVE, unsure).segments[0].certificate
    assert held is None or held.accepted < 0.1


def test_its_state_survives_as_json(certified: tuple[Certifier, PolicyDocument]) -> None:
    certifier, live = certified
    again = Certifier.from_json(certifier.to_json())
    assert again == certifier
    assert again.review(live, [], [], [], NOW).policy is live
