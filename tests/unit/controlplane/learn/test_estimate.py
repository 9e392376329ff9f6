from dataclasses import fields

import numpy as np
import pytest
from scipy.stats import norm

from controlplane.learn.estimate import LABEL_VARIANCE, Basis, ModelError, Residual, estimate
from controlplane.learn.evidence import Labels
from controlplane.learn.goals import Estimate
from controlplane.learn.imagine import Outlook, imagine
from controlplane.learn.policy_family import ALWAYS_CLOUD, ALWAYS_LOCAL, Arm, Arms
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import Platt, QualityTarget
from tests.unit.dataplane.policies import policy, pool

DRAFT = policy()
ARMS = Arms((ALWAYS_CLOUD, Arm("cascade_route", 0.25)))
COUNT = 400
UNTRUSTED = ModelError(0.0, sudden=0.1, chance=0.0)


def drawn(rng: np.random.Generator, count: int, tiers: int = 2) -> Labels:
    """All answers labelled; the truth is not what the policy believes."""
    p_hat = rng.uniform(0.3, 0.95, count)
    local = (rng.random(count) < p_hat).astype(float)
    cloud = (rng.random(count) < np.where(local > 0, 0.97, 0.7)).astype(float)
    score = -np.exp(-rng.normal(1.5 * local, 1.0))
    ones = np.ones(count)
    chance = np.where(local > 0, 0.9, 0.5)
    between = [(rng.random(count) < chance).astype(float) for _ in range(tiers - 2)]
    right = np.column_stack([local, *between, cloud])
    told = np.column_stack([p_hat, *[np.full(count, 0.9)] * (tiers - 1)])
    none = np.zeros(count, dtype=np.intp)
    return Labels(told, 100 * ones, score, none, right, np.ones_like(right), ones, ones)


def truth(labels: Labels) -> Array:
    """Quality of each arm: the worth of the answers that it would serve."""
    return np.asarray(served(labels, ARMS).mean(axis=0))


def served(labels: Labels, arms: Arms, draft: PolicyDocument = DRAFT) -> Array:
    """The worth of what each arm would serve (N, A)."""
    found = imagine(Outlook.of(draft, labels), arms.columns)
    chances = [1 - found.to_dear, *found.dear]
    return sum(c * labels.right[:, t, None] for t, c in enumerate(chances))  # type: ignore[return-value] # not 0


@pytest.fixture(scope="module")
def estimates() -> list[Estimate]:
    """Of the second arm, in runs with labels of their own and the same traffic."""
    rng = np.random.default_rng(3)
    traffic = drawn(rng, 2_000)
    return [
        estimate(Basis(DRAFT, traffic, drawn(rng, COUNT), UNTRUSTED), ARMS)[1] for _ in range(200)
    ]


def test_the_share_of_always_cloud_is_covered_by_its_own_error(estimates: list[Estimate]) -> None:
    best, arm = truth(drawn(np.random.default_rng(4), 50_000))
    share = arm / best
    covered = np.mean([abs(each.share - share) <= 1.96 * each.share_se for each in estimates])
    assert 0.91 <= covered <= 0.985


def test_a_share_takes_fewer_labels_than_a_quality(estimates: list[Estimate]) -> None:
    of_quality = np.mean([(each.quality_se / each.quality) ** 2 for each in estimates])
    of_share = np.mean([(each.share_se / each.share) ** 2 for each in estimates])
    assert of_quality / of_share > 1.5


def logged(rng: np.random.Generator, count: int, audit: float, shadow: float, tiers: int) -> Labels:
    """What a live policy leaves of queries: hard ones went straight to the cloud, the others were
    judged; a draw below ``audit`` is labelled, one below ``shadow`` had silent tiers answer too.
    """
    full, u = drawn(rng, count, tiers), rng.random(count)
    straight, shadowed = full.p_hat[:, 0] < 0.6, u < shadow
    escalated = ~straight & (full.score < -0.5)
    answered = np.column_stack(
        [~straight, *[np.zeros(count, bool)] * (tiers - 2), straight | escalated]
    )
    known = {
        "score": np.where(straight & ~shadowed, np.nan, full.score),
        "right": np.where(answered | shadowed[:, None], full.right, np.nan),
        "probability": np.where(answered, audit, shadow),
    }
    columns = {each.name: getattr(full, each.name) for each in fields(Labels)} | known
    return Labels(**{name: column[u < audit] for name, column in columns.items()})


def parting() -> PolicyDocument:
    """Of three tiers; where the local answer is surely wrong it is worth calling the better one."""
    return pool(3, segment={"dear_if_local_wrong": (Platt(intercept=1.4), Platt(intercept=3.0))})


def test_which_dear_tier_is_called_may_hinge_on_the_score() -> None:
    labels = drawn(np.random.default_rng(7), 300, 3)
    unscored = Columns(labels.p_hat, labels.chars, np.full(300, np.nan), labels.category)
    found = imagine(Outlook.of(parting(), unscored), Arms((Arm("cascade", 0.25),)).columns)
    both = (found.dear[0] > 0) & (found.dear[1] > 0)
    assert both.any()
    assert found.hinges[both].all()
    certain = (found.to_dear == 0) | (found.to_dear == 1)
    assert not found.hinges[certain & ~both].any()


@pytest.mark.parametrize(("draft", "tiers"), [(DRAFT, 2), (pool(3), 3), (parting(), 3)])
def test_what_another_policy_left_tells_every_arm_without_bias(
    draft: PolicyDocument, tiers: int
) -> None:
    """The path of an arm may hinge on a score that only a shadow revealed."""
    rng = np.random.default_rng(6)
    arms = Arms((Arm("route", 0.25), Arm("cascade", 0.25), Arm("cascade_route", 0.25)))
    quality = served(drawn(rng, 20_000, tiers), arms, draft).mean(axis=0)
    traffic = drawn(rng, 2_000, tiers)
    found = [
        [
            (arm.quality, arm.quality_se)
            for arm in estimate(Basis(draft, traffic, labels, UNTRUSTED), arms)
        ]
        for labels in (logged(rng, 2000, 0.5, 0.1, tiers) for _ in range(30))
    ]
    estimated, errors = np.moveaxis(np.array(found), -1, 0)
    assert estimated.mean(axis=0) == pytest.approx(quality, abs=0.015)
    assert errors.mean(axis=0) == pytest.approx(estimated.std(axis=0), rel=0.4)


def test_what_is_supposed_of_the_model_narrows_an_error() -> None:
    labels = drawn(np.random.default_rng(8), COUNT)
    arms = Arms((ALWAYS_CLOUD,))
    (alone,) = estimate(Basis(DRAFT, labels, labels, UNTRUSTED), arms)
    spread = alone.quality_se
    supposed = ModelError(LABEL_VARIANCE / spread**2, sudden=0.1, chance=0.0)
    (narrowed,) = estimate(Basis(DRAFT, labels, labels, supposed), arms)
    assert narrowed.quality_se == pytest.approx(spread / np.sqrt(2), rel=0.01)


def residual(mean: float, error: float) -> Residual:
    """As many labels gave it, all arms alike."""
    parts = np.full((50, 1), mean / 50)
    return Residual(parts, np.array([mean]), np.array([error**2]), np.array([50.0]))


@pytest.mark.parametrize("recent", [-0.3, -0.05, 0.0, 0.02, 0.12])
def test_the_models_error_is_the_mean_of_its_posterior(recent: float) -> None:
    """Of what recent labels say, where all of them leave the lasting error a normal belief."""
    wrong = ModelError(LABEL_VARIANCE / 0.02**2, sudden=0.1, chance=0.1)
    kept, followed, variance = wrong.believed(residual(0.01, 0.02), residual(recent, 0.04))
    lasting, left = 0.005, 0.02**2 / 2  # halfway, and half the variance
    noise = 0.04**2 + left
    odds = 0.1 * norm.pdf(recent, lasting, np.hypot(noise**0.5, 0.1))
    odds /= odds + 0.9 * norm.pdf(recent, lasting, noise**0.5)
    at = np.linspace(-1.5, 1.5, 300_001)
    changed = norm.pdf(at, lasting, 0.1) * norm.pdf(recent, at, noise**0.5)
    same = norm.pdf(at, lasting, left**0.5)
    density = (1 - odds) * same / same.sum() + odds * changed / changed.sum()
    expected = float(at @ density)
    assert kept[0] * 0.01 + followed[0] * recent == pytest.approx(expected, abs=1e-6)
    assert variance[0] == pytest.approx(float((at - expected) ** 2 @ density), rel=1e-3)


@pytest.mark.parametrize(("mean", "least", "most"), [(0.04, 0.0, 0.15), (0.2, 0.85, 1.0)])
def test_a_small_residual_is_noise_and_a_large_one_is_followed(
    mean: float, least: float, most: float
) -> None:
    _, followed, _ = ModelError(500.0, sudden=0.1, chance=0.1).believed(
        residual(0.0, 0.02), residual(mean, 0.03)
    )
    assert least < followed[0] < most


def test_always_cloud_is_all_of_itself() -> None:
    labels = drawn(np.random.default_rng(5), COUNT)
    itself = estimate(Basis(DRAFT, labels, labels, UNTRUSTED), ARMS)[0]
    assert (itself.share, itself.share_se) == (1.0, 0.0)


def test_waiting_is_weighed_and_not_billed() -> None:
    labels = drawn(np.random.default_rng(5), COUNT)
    slow = policy(
        tiers=(DRAFT.local, DRAFT.cloud.replaced(latency_s=2.0)),
        objective=QualityTarget(target_quality=0.9, latency_usd_per_s=1e-3),
    )
    plain, waits = (
        estimate(Basis(draft, labels, labels, UNTRUSTED), Arms((ALWAYS_CLOUD,)))[0]
        for draft in (DRAFT, slow)
    )
    assert waits.cost - plain.cost == pytest.approx(2e-3 / DRAFT.cost_unit_usd)
    assert waits.usd == pytest.approx(plain.usd) == plain.cost * DRAFT.cost_unit_usd


def test_an_unbilled_tier_adds_nothing_to_the_bill() -> None:
    labels = drawn(np.random.default_rng(5), COUNT)
    free = policy(tiers=(DRAFT.local.replaced(billing="none"), DRAFT.cloud))
    (arm,) = estimate(Basis(free, labels, labels, UNTRUSTED), Arms((ALWAYS_LOCAL,)))
    assert arm.usd == 0.0
    assert arm.cost > 0.0
