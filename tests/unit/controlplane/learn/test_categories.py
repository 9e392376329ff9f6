import random

import numpy as np
import pytest

from controlplane.evaluate.replay import EPOCH, Replay, Row
from controlplane.learn import categories
from controlplane.learn.categories import PRIOR, Told, shifts, told, usual_words
from controlplane.learn.evidence import Labels
from controlplane.learn.learner import Learner
from controlplane.learn.quality import QualityPredictor
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.learn.traffic import Traffic
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import logit
from dataplane.features import BUCKETS, of_text
from tests.unit.controlplane.learn.rows import CLOUD_USD, LOCAL_USD
from tests.unit.dataplane.policies import policy, pool

SUMS, PROOFS = of_text("x", "sums").category, of_text("x", "proofs").category
RIGHT = {"sums": (0.9, 0.92), "proofs": (0.2, 0.9)}  # of the local tier and of the cloud


def seen(count: int) -> Traffic:
    traffic = Traffic(count, 10**6)
    for at in range(count):
        text = f"Tell me of {at} and {at * 7 % 10}"
        traffic.append(of_text(text, ("sums", "proofs", None)[at % 3]), None)
    return traffic


def says(category: int, count: float, mean: float) -> Told:
    size = np.arange(categories.SIZE)
    return Told(np.where(size == category, count, 0.0), np.where(size == category, mean, 0.0))


def mean_p_hat(traffic: Traffic, predictor: QualityPredictor, category: int) -> float:
    columns = traffic.columns([predictor.estimator()])
    return float(columns.p_hat[traffic.categories() == category].mean())


@pytest.mark.parametrize("count", [PRIOR / 4, PRIOR, 9 * PRIOR])
@pytest.mark.parametrize("mean", [0.1, 0.9])
def test_the_mean_goes_part_of_the_way_to_that_of_the_labels(count: float, mean: float) -> None:
    traffic, predictor = seen(90), QualityPredictor()
    predictor.shift(shifts(traffic, predictor, says(SUMS, count, mean)))
    share = count / (count + PRIOR)
    expected = 0.5 + share * (mean - 0.5)
    assert mean_p_hat(traffic, predictor, SUMS) == pytest.approx(expected, abs=0.003)
    assert mean_p_hat(traffic, predictor, PROOFS) == 0.5


def test_reckoned_again_it_goes_no_further() -> None:
    traffic, predictor, said = seen(90), QualityPredictor(), says(PROOFS, 30.0, 0.8)
    predictor.shift(shifts(traffic, predictor, said))
    before = mean_p_hat(traffic, predictor, PROOFS)
    predictor.shift(shifts(traffic, predictor, said))
    assert mean_p_hat(traffic, predictor, PROOFS) == pytest.approx(before, abs=1e-3)


def test_words_are_believed_about_the_usual_ones_of_a_category() -> None:
    """Half of what the words of a query say beyond those of a usual one, and the same mean."""
    traffic, predictor = seen(90), QualityPredictor()
    first, said = of_text("Tell me of 3 and 1", "sums"), says(SUMS, 1e6, 0.7)
    for right in (1.0, 1.0, 1.0):
        predictor.learn(first, right, np.zeros(BUCKETS))
    predictor.shift(shifts(traffic, predictor, said))
    in_full = logit(predictor.predict(first)) - logit(0.7)
    predictor.believe(usual_words(traffic, predictor))
    predictor.shift(shifts(traffic, predictor, said))
    assert predictor.wording.share == pytest.approx(0.5)
    assert mean_p_hat(traffic, predictor, SUMS) == pytest.approx(0.7, abs=0.003)
    p_hat = predictor.predict(first)
    assert (logit(p_hat) - logit(0.7)) / in_full == pytest.approx(0.5, abs=0.1)
    assert p_hat == pytest.approx(predictor.estimator().p_hat(first), abs=1e-4)


def test_a_category_without_queries_or_labels_is_left_alone() -> None:
    unseen = of_text("x", "poems").category
    assert shifts(seen(90), QualityPredictor(), says(unseen, 50.0, 0.9)) == {}
    assert shifts(seen(90), QualityPredictor(), says(SUMS, 0.0, 0.0)) == {}


def test_a_rare_label_stands_for_all_that_were_not_asked_for() -> None:
    right = np.array([[1.0, np.nan], [0.0, 1.0], [1.0, 0.0]])
    probability = np.array([[0.5, 0.0], [0.1, 0.1], [0.5, 0.5]])
    ones = np.ones(3)
    faded = np.array([1.0, 1.0, 0.5])
    kinds = np.array([SUMS, SUMS, 0])
    said = told(Labels(right / 2, ones, ones, kinds, right, probability, faded, faded), 0)
    assert said.count[SUMS] == 2
    assert said.mean[SUMS] == pytest.approx(2 / 12)
    assert said.count.sum() == 2


def _row(rng: random.Random) -> Row:
    category = rng.choice(tuple(RIGHT))
    features = of_text(f"Do it with {rng.randrange(10)} and {rng.randrange(10)}.", category)
    worth = tuple(float(rng.random() < chance) for chance in RIGHT[category])
    return Row(features, worth, (LOCAL_USD, CLOUD_USD))


@pytest.fixture(scope="module")
def served() -> tuple[PolicyDocument, Learner]:
    rng = random.Random(5)
    settings = LearnerSettings(mode="route", cold=DrawRates(0.3, 0.3), steady=DrawRates(0.3, 0.1))
    learner = Learner(("local", "cloud"), settings)
    replay = Replay(policy(), learner, seed=2)
    list(replay.run([_row(rng) for _ in range(1500)]))
    return replay.live, learner


def test_what_text_does_not_tell_is_learned_of_the_category(
    served: tuple[PolicyDocument, Learner],
) -> None:
    _, learner = served
    for category, right in RIGHT.items():
        asked = of_text("Do it with 3 and 4.", category)
        p_hat = [each.predict(asked) for each in learner.quality]
        assert p_hat == pytest.approx(right, abs=0.08)


def test_a_learner_goes_on_exactly_where_it_was(served: tuple[PolicyDocument, Learner]) -> None:
    document, learner = served
    again = Learner.from_json(learner.to_json(), learner.settings)
    assert again.to_json() == learner.to_json()
    assert all(each.shifts for each in again.quality)
    assert again.advise(document, EPOCH) == learner.advise(document, EPOCH)


AMONG = {"sums": (0.5, 0.9, 0.95), "proofs": (0.4, 0.5, 0.9)}  # of three tiers


@pytest.fixture(scope="module")
def among_three() -> tuple[PolicyDocument, Learner]:
    rng = random.Random(6)
    settings = LearnerSettings(mode="route", cold=DrawRates(0.4, 0.4), steady=DrawRates(0.4, 0.2))
    tiers = tuple(each.name for each in pool(3).tiers)
    replay = Replay(pool(3), Learner(tiers, settings), seed=2)
    usd = (LOCAL_USD, CLOUD_USD / 5, CLOUD_USD)
    rows = []
    for _ in range(900):
        category = rng.choice(tuple(AMONG))
        features = of_text(f"Do it with {rng.randrange(10)} and {rng.randrange(10)}.", category)
        worth = tuple(float(rng.random() < chance) for chance in AMONG[category])
        rows.append(Row(features, worth, usd))
    list(replay.run(rows))
    assert replay.learner is not None
    return replay.live, replay.learner


def test_of_several_tiers_each_is_believed_as_good_as_its_labels_say(
    among_three: tuple[PolicyDocument, Learner],
) -> None:
    """By what a draft makes of p_hat, in each category, however few labels tell of two at once."""
    live, learner = among_three
    basis = learner.basis(live, EPOCH)
    assert basis is not None
    beliefs = basis.draft.beliefs(basis.draft.segments[0], basis.traffic.p_hat)
    made = (beliefs.p, *rule.dear_quality(beliefs))
    for tier, quality in enumerate(made):
        said = told(basis.labels, tier)
        for category in (SUMS, PROOFS):
            mean = quality[basis.traffic.category == category].mean()
            assert said.count[category] > 30
            assert mean == pytest.approx(said.leaning[category], abs=0.01)


def test_looking_at_what_is_believed_changes_nothing(
    among_three: tuple[PolicyDocument, Learner],
) -> None:
    live, learner = among_three
    before = learner.to_json()
    assert learner.advise(live, EPOCH) is not None
    assert learner.to_json() == before


def test_a_mean_leans_on_that_of_all_as_long_as_it_has_few_labels() -> None:
    counts, means = np.zeros(categories.SIZE), np.zeros(categories.SIZE)
    counts[SUMS], means[SUMS] = PRIOR, 0.9
    leaning = Told(counts, means, 0.5).leaning
    assert leaning[SUMS] == pytest.approx(0.7)
    assert leaning[PROOFS] == pytest.approx(0.5)
