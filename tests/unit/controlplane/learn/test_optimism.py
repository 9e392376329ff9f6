"""What an arm that picks among tiers is believed to be better than it is."""

import numpy as np
import pytest

from controlplane.learn.categories import PRIOR
from controlplane.learn.estimate import Basis, ModelError, robust
from controlplane.learn.evidence import Labels
from controlplane.learn.imagine import Outlook, imagine
from controlplane.learn.optimism import moved_levels, optimism
from controlplane.learn.policy_family import ALWAYS_CLOUD, ALWAYS_LOCAL, Arm, Arms
from controlplane.learn.traffic import Columns
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import Platt
from tests.unit.dataplane.policies import policy, pool

TIERS, RIGHT = 8, 0.7
ARMS = Arms((ALWAYS_CLOUD, ALWAYS_LOCAL, Arm("route", 1e-6), Arm("cascade", 1e-6)))


def at_face_value(tiers: int) -> PolicyDocument:
    """A policy that takes each dear tier to be right as often as its own p_hat says."""
    same = {
        "dear_if_local_wrong": (Platt(intercept=0, dear_slope=1),) * (tiers - 1),
        "dear_wrong_if_local_right": (Platt(intercept=0, dear_slope=-1),) * (tiers - 1),
    }
    return pool(tiers, segment=same) if tiers > 2 else policy(segment=same)


def labelled(rng: np.random.Generator, count: int, kinds: int, tiers: int = TIERS) -> Labels:
    """Answers of tiers that are all right as often; a p_hat is what the labels of its kind say."""
    kind = np.arange(count) % kinds
    right = (rng.random((count, tiers)) < RIGHT).astype(float)
    means = np.stack([right[kind == each].mean(axis=0) for each in range(kinds)])
    share = count / kinds / (count / kinds + PRIOR)
    told = RIGHT + share * (means[kind] - RIGHT)
    ones, unscored = np.ones(count), np.full(count, np.nan)
    return Labels(told, 100 * ones, unscored, kind, right, np.ones_like(right), ones, ones)


def taken_off(labels: Labels, arms: Arms = ARMS) -> tuple[Array, Array]:
    """What the arms are believed to be worth (A,), and by how much less they are."""
    draft = at_face_value(labels.right.shape[1])
    seen = Columns(labels.p_hat, labels.chars, labels.score, labels.category)
    found = imagine(Outlook.of(draft, seen), arms.columns)
    off = optimism(draft, seen, moved_levels(labels), arms.columns, found.to_dear)
    return found.quality.mean(axis=0), off


@pytest.mark.parametrize("kinds", [1, 3])
def test_most_of_what_flatters_the_best_of_equal_tiers_is_taken_off(kinds: int) -> None:
    """Not all: a resample is drawn around levels that chance has parted already."""
    rng = np.random.default_rng(0)
    found = [taken_off(labelled(rng, 100 * kinds, kinds)) for _ in range(40)]
    believed, off = (np.mean([each[part][2] for each in found]) for part in (0, 1))
    assert believed - RIGHT > 0.04
    assert 0.5 * (believed - RIGHT) < off < believed - RIGHT


def test_more_labels_flatter_less() -> None:
    rng = np.random.default_rng(1)
    few, many = (
        np.mean([taken_off(labelled(rng, count, 1))[1][2] for _ in range(10)])
        for count in (50, 800)
    )
    assert 0 < many < few / 2


def test_nothing_is_taken_off_where_nothing_is_picked() -> None:
    _, off = taken_off(labelled(np.random.default_rng(2), 100, 1))
    assert off[:2].tolist() == [0.0, 0.0]
    assert (off >= 0).all()
    of_two = labelled(np.random.default_rng(2), 100, 1, tiers=2)
    basis = Basis(at_face_value(2), of_two, of_two, ModelError(100.0, sudden=0.1, chance=0.1))
    assert robust(basis, ARMS).optimism.tolist() == [0.0] * len(ARMS)


def test_an_arm_that_keeps_local_answers_picks_less_often() -> None:
    _, off = taken_off(labelled(np.random.default_rng(3), 100, 1))
    assert off[3] <= off[2]


def test_tiers_that_nobody_labelled_flatter_nobody() -> None:
    labels = labelled(np.random.default_rng(4), 100, 1)
    labels.right[:, 1:] = np.nan
    _, off = taken_off(labels, Arms((Arm("cascade", 1e-6),)))
    assert off.tolist() == [0.0]
