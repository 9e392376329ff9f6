import random
from dataclasses import asdict, replace

import numpy as np
import pytest

from controlplane.evaluate.replay import EPOCH
from controlplane.learn.advise import Advice, Figure, Option
from controlplane.learn.learner import Learner
from controlplane.learn.verdict import dissent, verdict
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import CostCeiling, Mode, QualityTarget
from dataplane.features import of_text
from tests.traffic import decision_id
from tests.unit.controlplane.learn.test_learner import SETTINGS, TIERS, start

COUNT = 1500
TARGET = 0.88
USELESS = 1e-9  # separation of a judge's scores


def live(judge_usd: float = 0.0, **fields: object) -> PolicyDocument:
    document = start(TARGET)
    return document.replaced(judge=document.judge.replaced(cost_usd=judge_usd), **fields)


def taught(*, telling_prompt: bool, separation: float | None, seed: int = 1) -> Learner:
    """A learner that saw, judged and had labelled both answers of ``COUNT`` queries.

    Local is right in half of them: the prompt tells which, or the score does, or neither. Without
    a ``separation`` there is no judge.
    """
    rng, learner = random.Random(seed), Learner(TIERS, SETTINGS)
    for number in range(COUNT):
        easy = rng.random() < 0.5
        right = rng.random() < (0.96 if easy else 0.04) if telling_prompt else rng.random() < 0.5
        words = ("capital", "river") if easy or not telling_prompt else ("proof", "lemma")
        score = separation and -float(np.exp(-rng.gauss(separation * right, 1.0)))
        features = of_text(f"{rng.choice(words)} {rng.randrange(10**6)}")
        seen = Observation(
            decision_id(number), EPOCH, "default", 1, features, TIERS, "cloud", score, 0.0
        )
        learner.observe([seen])
        worth = {"local": float(right), "cloud": float(rng.random() < 0.96)}
        learner.learn([Labelled(seen, worth, 0.5, 0.5)])
    return learner


def advised(learner: Learner, document: PolicyDocument) -> Advice:
    found = learner.advise(document, EPOCH)
    assert found is not None
    return found


def option(advice: Advice, mode: Mode) -> Option:
    found = advice.option(mode)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def specialty() -> Learner:
    return taught(telling_prompt=True, separation=USELESS)


@pytest.fixture(scope="module")
def difficulty() -> Learner:
    return taught(telling_prompt=False, separation=3.0)


def test_where_the_category_tells_it_advises_routing_and_no_judge(specialty: Learner) -> None:
    advice = advised(specialty, live(judge_usd=5e-5))
    assert advice.mode == "route"
    assert option(advice, "cascade").dearer.value > 0.1
    assert advice.prompt is not None
    assert advice.prompt.value > 0.15
    said = verdict(advice)
    assert said.startswith("routing, do not judge: ")
    assert "within a percent of cascade routing" in said
    assert "cascading would cost +" in said


def test_where_the_answer_tells_it_advises_a_cascade(difficulty: Learner) -> None:
    advice = advised(difficulty, live(judge_usd=5e-6))
    assert advice.mode in ("cascade", "cascade_route")
    route = option(advice, "route")
    assert not route.reaches or route.dearer.value > 0.2
    assert advice.prompt is not None
    assert advice.answer is not None
    assert advice.answer.value > advice.prompt.value + 0.1
    assert "the answer's score tells more" in verdict(advice)


def test_where_nothing_tells_it_advises_no_judge() -> None:
    learner = taught(telling_prompt=False, separation=USELESS)
    advice = advised(learner, live(judge_usd=1e-4))
    assert advice.mode in ("always_cloud", "route")
    assert "do not judge" in verdict(advice)
    cost = option(advice, "always_cloud").cost
    assert (cost.value, cost.se) == pytest.approx((1.0, 0.0))
    assert advice.prompt is not None
    assert abs(advice.prompt.value) < 0.05
    assert "neither tells much" in verdict(advice)


def test_costs_are_those_of_known_truth(specialty: Learner) -> None:
    """Half the queries to the cloud give quality .96; a query to it gains .92 on average."""
    document = live(objective=QualityTarget(target_quality=TARGET))
    cost = option(advised(specialty, document), "route").cost
    share = (TARGET - 0.5) / 0.92
    assert share - 0.03 < cost.value < 0.53  # between a coin's share of the step, and all of it
    assert 0.0 < cost.se < 0.3  # wide: at a step of the curve any lambda will do


def test_a_ceiling_is_advised_at_the_quality_that_it_buys(specialty: Learner) -> None:
    ceiling = CostCeiling(ceiling_usd_per_query=6e-4)
    advice = advised(specialty, live(objective=ceiling))
    assert 0.7 < advice.quality < 0.97
    assert option(advice, "route").reaches


def test_a_cascades_wait_is_told_where_waits_are_known(difficulty: Learner) -> None:
    document = live()
    assert "waits" not in verdict(advised(difficulty, document))
    tiers = tuple(
        tier.replaced(latency_s=seconds)
        for tier, seconds in zip(document.tiers, (0.5, 2.0), strict=True)
    )
    advice = advised(difficulty, document.replaced(tiers=tiers))
    cascade = option(advice, "cascade")
    assert cascade.latency_s == pytest.approx(0.5 + 2.0 * cascade.dear_share)
    assert "A cascade waits" in verdict(advice)


def test_without_a_judge_only_routing_is_compared() -> None:
    learner = taught(telling_prompt=True, separation=None)
    learner.settings = replace(SETTINGS, mode="route")
    advice = advised(learner, live())
    assert {each.mode for each in advice.options} == {"route", "always_cloud"}
    said = verdict(advice)
    assert said.startswith("routing: ")
    assert "no answer was judged, so no cascade is compared" in said
    assert "do not judge" not in said


def test_too_few_labels_advise_nothing(difficulty: Learner) -> None:
    unsure = Learner.from_json(difficulty.to_json(), replace(SETTINGS, support=1e6))
    advice = advised(unsure, live())
    assert advice.mode is None
    assert "too few for any mode" in verdict(advice)
    assert dissent(advice, "route") == ""
    assert Learner(TIERS, SETTINGS).advise(live(), EPOCH) is None


def test_advice_leaves_the_learner_as_it_was(difficulty: Learner) -> None:
    learner = Learner.from_json(difficulty.to_json(), SETTINGS)
    first = advised(learner, live())
    assert asdict(advised(learner, live())) == asdict(first)
    assert learner.propose(live(), EPOCH) == Learner.from_json(
        difficulty.to_json(), SETTINGS
    ).propose(live(), EPOCH)


def test_a_policy_of_another_mode_says_what_is_advised(specialty: Learner) -> None:
    learner = Learner.from_json(specialty.to_json(), replace(SETTINGS, min_decisions=0))
    proposed = learner.propose(live(judge_usd=5e-5), EPOCH)
    assert proposed is not None
    assert proposed.segments[0].mode == "cascade_route"
    assert "; adviser: routing, do not judge: " in proposed.reason


def plain(mode: Mode, dearer: Figure, *, reaches: bool = True) -> Option:
    return Option(mode, 0.2, 0.8, reaches, Figure(0.5, 0.02), dearer, 0.4, 0.0, None)


def test_the_words_of_a_table() -> None:
    options = (
        plain("cascade", Figure(0.0, 0.0)),
        plain("cascade_route", Figure(-0.004, 0.01)),
        plain("route", Figure(0.31, 0.06)),
        plain("always_cloud", Figure(0.05, 0.06), reaches=False),
    )
    advice = Advice("cascade", 0.9, 700, True, options, Figure(0.022, 0.006), Figure(0.071, 0.008))
    assert verdict(advice) == (
        "cascading: 0.50 +- 0.02 of always-cloud's cost at quality 0.900, within a percent of "
        "cascade routing; routing would cost +31 % (+- 6), always the cloud stops at quality "
        "0.800. Over a coin that spends as much, knowing the prompt is worth +2.2 +- 0.6 "
        "points of quality, knowing its answer's score too +7.1 +- 0.8: the answer's score tells "
        "more."
    )
    assert dissent(advice, "cascade") == ""
    assert dissent(advice, "route").endswith("; routing would cost +31 % (+- 6)")
