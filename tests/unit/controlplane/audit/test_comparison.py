"""What judging would have been worth on one audited query, worked out by hand."""

from dataclasses import replace

import pytest

from controlplane.audit.comparison import compare
from controlplane.observations import Labelled
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, SegmentDraws, ShadowTerms
from dataplane.features import TEXT
from tests.policies import CLOUD, DOUBTFUL, JUDGE, LOCAL, SURE, policy
from tests.traffic import query
from tests.unit.dataplane.policies import CERTIFIED, certificate

RATES = {"audit": AuditTerms(rate=0.2), "shadow": ShadowTerms(rate=0.1)}


def closed(lambda_: float = 0.2, **fields: object) -> PolicyDocument:
    """Routing serves, the judge is on trial; p_hat is one half everywhere."""
    live = policy("route", lambda_=lambda_, judge=JUDGE.replaced(cost_usd=3e-5), **RATES, **fields)
    on_trial = live.segments[0].replaced(trust="closed", trial_lambda=lambda_)
    return live.replaced(segments=(on_trial,))


def told(
    right: dict[str, float], score: float | None, answered: tuple[str, ...] = ("cloud",)
) -> Labelled:
    return Labelled(query(1, answered=answered, score=score), right, 0.2, 0.1)


def spent(document: PolicyDocument) -> tuple[float, float, float]:
    costs = document.costs(float(query(1).features.chars))
    return float(costs.local), float(costs.judge), float(costs.dear[0])


def test_an_answer_that_the_judge_would_have_kept_is_set_against_the_clouds() -> None:
    document = closed()
    local, judging, cloud = spent(document)
    found = compare(document, told({"local": 1.0, "cloud": 1.0}, SURE))
    assert found is not None
    assert found.pair
    assert found.weight == 1.0
    assert found.difference == pytest.approx(0.2 * (cloud - local - judging))
    wrong = compare(document, told({"local": 0.0, "cloud": 1.0}, SURE))
    assert wrong is not None
    assert wrong.difference == pytest.approx(found.difference - 1)
    assert wrong.reach == pytest.approx(1 + 0.2 * (cloud + local + judging))


def test_where_both_serve_the_same_answer_only_the_judge_is_charged() -> None:
    document = closed()
    local, judging, _ = spent(document)
    found = compare(document, told({}, DOUBTFUL))
    assert found is not None
    assert not found.pair
    assert found.difference == pytest.approx(-0.2 * (local + judging))


def test_an_escalation_is_set_against_the_local_answer() -> None:
    document = closed(lambda_=0.45)
    local, judging, cloud = spent(document)
    found = compare(document, told({"local": 0.0, "cloud": 1.0}, DOUBTFUL, ("local",)))
    assert found is not None
    assert found.pair
    assert found.difference == pytest.approx(1 - 0.45 * (judging + cloud))
    assert local < cloud


@pytest.mark.parametrize(
    "labelled",
    [
        told({"cloud": 1.0}, SURE),
        told({"local": 1.0}, SURE),
        told({"cloud": 1.0, "local": 1.0}, None),
        Labelled(query(1, answered=("cloud",), score=SURE, excluded=("local",)), {}, 0.2, 0.1),
        Labelled(query(1, answered=("cloud",), score=SURE), {"local": 1.0, "cloud": 1.0}, 0.2, 0.0),
    ],
    ids=["local unlabelled", "cloud unlabelled", "unjudged", "excluded", "no shadow could fall"],
)
def test_what_is_not_known_tells_nothing(labelled: Labelled) -> None:
    assert compare(closed(), labelled) is None


def test_without_a_trial_there_is_nothing_to_compare() -> None:
    live = closed()
    untried = live.replaced(segments=(live.segments[0].replaced(trial_lambda=None),))
    assert compare(untried, told({"local": 1.0, "cloud": 1.0}, SURE)) is None


def test_what_was_seen_more_often_weighs_less() -> None:
    """Once open, an escalated query has both answers wherever it was audited."""
    live = policy("cascade_route", lambda_=0.45, **RATES)
    both = told({"local": 0.0, "cloud": 1.0}, DOUBTFUL, ("local", "cloud"))
    found = compare(live, both)
    assert found is not None
    assert found.pair
    assert found.weight == 0.5  # .1 of all queries have their shadow labelled, .2 are audited
    kept = compare(live, told({"local": 1.0}, SURE, ("local",)))
    assert kept is not None
    assert not kept.pair


def test_a_score_that_a_shadow_draw_brought_is_as_rare_as_shadows() -> None:
    """Both serve the local answer, and the judge was asked for the trial alone."""
    found = compare(closed(lambda_=0.45), told({"local": 1.0}, SURE, ("local",)))
    assert found is not None
    assert not found.pair
    assert found.weight == 1.0


def test_where_draws_are_adaptive_the_least_chance_is_that_of_uniform_ones() -> None:
    draws = SegmentDraws(uniform=0.05, slope=0.3)
    document = closed().replaced(audit=AuditTerms(rate=0.2, segments=(draws,)))
    found = compare(document, told({"local": 1.0, "cloud": 1.0}, SURE))
    assert found is not None
    assert found.weight == pytest.approx(0.05 / 0.1)


def test_costs_are_those_of_the_category() -> None:
    document = closed(tiers=(LOCAL, CLOUD.replaced(category_factors=((2, 1.5),))))
    plain = told({"local": 1.0, "cloud": 1.0}, SURE)
    features = replace(plain.observation.features, buckets=(TEXT + 1,))
    dearer = replace(plain, observation=replace(plain.observation, features=features))
    usual, found = compare(document, plain), compare(document, dearer)
    assert usual is not None
    assert found is not None
    _, _, cloud = spent(document)
    assert found.difference - usual.difference == pytest.approx(0.2 * 0.5 * cloud)


def test_under_a_certificate_judging_is_set_against_the_cloud() -> None:
    """At this lambda routing would keep the answer, which nothing certifies."""
    live = closed(lambda_=0.45)
    held = live.segments[0].replaced(mode="always_cloud", certificate=certificate(-1.0))
    document = live.model_copy(update={"objective": CERTIFIED, "segments": (held,)}).rederived()
    both = {"local": 1.0, "cloud": 1.0}
    kept = compare(document, told(both, SURE))
    assert kept is not None
    assert kept.pair
    barred = compare(document, told(both, DOUBTFUL))
    assert barred is not None
    assert not barred.pair
    free = compare(live, told(both, SURE, ("local",)))
    assert free is not None
    assert not free.pair


def test_without_the_certificate_that_is_asked_for_nothing_is_tried() -> None:
    live = closed()
    waiting = live.segments[0].replaced(mode="always_cloud")
    document = live.model_copy(update={"objective": CERTIFIED, "segments": (waiting,)}).rederived()
    assert compare(document, told({"local": 1.0, "cloud": 1.0}, SURE)) is None
